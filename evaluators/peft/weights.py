"""Which of a backbone's own weights a method trains."""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from .handle import Handle, Site


def tune(site: Site, wanted: Callable[[str], bool]) -> Handle:
    """A method that trains some of the backbone's weights in place, and nothing else.

    Args:
        site: Where.
        wanted: Whether a weight is trained, by its name.
    """
    return Handle(site, weights=weights_of(site, wanted), merge=nothing_to_merge)


def inside(site: Site, name: str) -> bool:
    """Whether a weight is of a block that may be touched."""
    return name.startswith(tuple(f"{layer.path}." for layer in site.layers))


def all_weights(site: Site) -> dict[str, nn.Parameter]:
    """The backbone's weights from ``layer_lo`` on; from 0 on with the embeddings."""
    everything = site.lowest == 0
    return weights_of(site, lambda name: everything or inside(site, name))


def weights_of(site: Site, wanted: Callable[[str], bool]) -> dict[str, nn.Parameter]:
    """The backbone's weights of some names, but for the pooler's: features are pooled here."""
    return {
        name: parameter
        for name, parameter in site.model.named_parameters()
        if wanted(name) and not name.startswith("pooler.")
    }


def nothing_to_merge() -> None:
    """What is trained in place is merged already."""
