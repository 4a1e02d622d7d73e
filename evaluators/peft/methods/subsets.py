"""Tune a part of the backbone's own weights: none, all, the top blocks, biases, normalisations.

BitFit: Ben Zaken et al. (ACL 2022).
"""

from __future__ import annotations

from collections.abc import Callable

from torch import nn

from ....common.errors import ArchitectureError
from ..handle import Handle, Site


def probe(site: Site, *, regularisation: float = 300.0) -> Handle:
    """Nothing but the head: features of the frozen backbone.

    Args:
        site: Where.
        regularisation: Of the head, which is solved for (`solve_probe` in `tuning`); nothing here.
    """
    return Handle(site)


def full(site: Site) -> Handle:
    """Every weight from the block ``layer_lo`` on; from 0 on, the embeddings, too."""
    return Handle(site, weights=own_weights(site), merge=_nothing)


def top_k(site: Site, *, layers: int = 2) -> Handle:
    """The last blocks.

    Args:
        site: Where.
        layers: How many; all of them where there are no more. Embeddings stay as they are.
    """
    last = Site(site.model, site.arch, max(len(site.arch.layers) - layers, site.lowest))
    return _tune(last, lambda name: _inside(last, name))


def bitfit(site: Site) -> Handle:
    """The biases of the blocks; the normalisations' scales, where there are no biases (T5)."""
    biases = [n for n, _ in site.model.named_parameters() if n.endswith("bias")]
    if not any(_inside(site, name) for name in biases):
        raise ArchitectureError(
            f"{type(site.model).__name__} has no biases: use 'layernorm' or 'ia3' instead"
        )
    return _tune(site, lambda name: name.endswith(".bias") and _inside(site, name))


def layernorm(site: Site) -> Handle:
    """Scales and shifts of the normalisations in and after the blocks."""
    norms = tuple(f"{path}." for layer in site.layers for path in layer.norms)
    embeddings = tuple(f"{n}." for n in site.arch.norms if "embed" not in n.lower())
    return _tune(site, lambda name: name.startswith(norms + embeddings))


def _inside(site: Site, name: str) -> bool:
    """Whether a weight is of a block that may be touched."""
    return name.startswith(tuple(f"{layer.path}." for layer in site.layers))


def own_weights(site: Site) -> dict[str, nn.Parameter]:
    """The backbone's weights from ``layer_lo`` on; from 0 on with the embeddings."""
    everything = site.lowest == 0
    return _weights(site, lambda name: everything or _inside(site, name))


def _weights(site: Site, wanted: Callable[[str], bool]) -> dict[str, nn.Parameter]:
    pooler = "pooler."  # never used: features are pooled here
    return {
        name: parameter
        for name, parameter in site.model.named_parameters()
        if wanted(name) and not name.startswith(pooler)
    }


def _tune(site: Site, wanted: Callable[[str], bool]) -> Handle:
    return Handle(site, weights=_weights(site, wanted), merge=_nothing)


def _nothing() -> None:
    """What is trained in place is merged already."""
