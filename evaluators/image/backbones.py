"""Pre-trained backbones of images: Hugging Face's by name, or a module that a user gives."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import nn

from ...common.errors import ArchitectureError, reason_of
from ..finetuning.hub import digest_of, identity_of, load_pretrained
from ..peft.arch import describe_architecture
from ..peft.registry import attach

REMEDY = "give a vision transformer, say google/vit-base-patch16-224"
BYTE = 255.0


@dataclass(frozen=True)
class ImageBackbone:
    """A pre-trained vision transformer, without a head.

    Attributes:
        name: As it was asked for, or the module's class.
        named: Whether it can be loaded again by its name.
        model: In evaluation mode.
        channels: Of the images that it takes.
        size: Their (height, width); ``None`` where the model takes any.
        patch: (height, width) of a patch.
        standard: Mean and deviation of each channel, of pixels between 0 and 1, that it was trained
            with; ``None`` where nothing says so.
    """

    name: str
    named: bool
    model: nn.Module
    channels: int
    size: tuple[int, int] | None
    patch: tuple[int, int]
    standard: tuple[list[float], list[float]] | None

    def positions(self, height: int, width: int) -> int:
        """How many positions the hidden states of an image of that size have.

        Raises:
            ArchitectureError: The model does not take such an image.
        """
        device = next(self.model.parameters()).device
        pixels = torch.zeros(1, self.channels, height, width, device=device)
        handle = attach(self.model, "probe")
        try:
            with torch.no_grad():
                return int(handle.states({"pixel_values": pixels})[-1].shape[1])
        except (RuntimeError, ValueError, TypeError, AttributeError, AssertionError) as error:
            raise ArchitectureError(
                f"backbone {self.name!r} cannot read images of {self.channels} x {height} x "
                f"{width}: {REMEDY}, or a module with timm's forward_features "
                f"({reason_of(error)})"
            ) from error
        finally:
            handle.remove()

    @cached_property
    def digest(self) -> str:
        """A digest of the weights."""
        return digest_of(self.model)

    @cached_property
    def identity(self) -> str:
        """A name that no other backbone has: its own, or its class with a digest."""
        if self.named:
            return identity_of(self.name, self.model)
        return f"{self.name} {self.digest[:8]}"


def load_image_backbone(source: str | nn.Module) -> ImageBackbone:
    """A backbone by name, or of a module, which is copied.

    Args:
        source: A folder, a model's name on the Hugging Face hub, or a vision transformer.

    Raises:
        MissingLibraryError: A package is not installed.
        DataError: There is no such model at hand, and it cannot be downloaded.
        ArchitectureError: It is not recognised, or does not take images.
    """
    if isinstance(source, str):
        remedy = "give a folder, or a model's name on the hub (and a network)"
        model, origin = load_pretrained(source, remedy)
        name, standard = source, _preprocessor(origin)
    else:
        model, name, standard = copy.deepcopy(source).eval(), type(source).__name__, _timm(source)
    if describe_architecture(model).tokens:
        raise ArchitectureError(
            f"backbone {name!r} ({type(model).__name__}) takes texts, and images are to be "
            f"classified: {REMEDY}"
        )
    patches = next((m for m in model.modules() if isinstance(m, nn.Conv2d)), None)
    if patches is None:
        raise ArchitectureError(
            f"backbone {name!r} ({type(model).__name__}) has no convolution that makes patches of "
            f"an image: {REMEDY}"
        )
    return ImageBackbone(
        name=name,
        named=isinstance(source, str),
        model=model,
        channels=patches.in_channels,
        size=_size(model),
        patch=(int(patches.stride[0]), int(patches.stride[1])),
        standard=standard,
    )


def _size(model: nn.Module) -> tuple[int, int] | None:
    """(height, width) as Hugging Face's configuration or timm's patches say it."""
    side = getattr(getattr(model, "config", None), "image_size", None)
    side = side or getattr(getattr(model, "patch_embed", None), "img_size", None)
    if side is None:
        return None
    if isinstance(side, int):
        return side, side
    return int(side[0]), int(side[1])


def _preprocessor(place: str) -> tuple[list[float], list[float]] | None:
    from transformers.image_processing_base import ImageProcessingMixin

    try:
        settings: Mapping[str, Any] = ImageProcessingMixin.get_image_processor_dict(place)[0]
    except OSError:  # there is none: the task's own images say what is usual
        return None
    return _mean_and_deviation(settings, "image_mean", "image_std")


def _timm(model: nn.Module) -> tuple[list[float], list[float]] | None:
    settings = getattr(model, "pretrained_cfg", None)
    return _mean_and_deviation(settings, "mean", "std") if isinstance(settings, Mapping) else None


def _mean_and_deviation(
    found: Mapping[str, Any], mean: str, deviation: str
) -> tuple[list[float], list[float]] | None:
    """Mean and deviation of pixels between 0 and 1; some processors scale by other factors."""
    if not found.get("do_normalize", True):
        means, deviations = [0.0], [1.0]
    elif found.get(mean) is None or found.get(deviation) is None:
        return None
    else:
        means, deviations = ([float(v) for v in _list(found[key])] for key in (mean, deviation))
    factor = float(found.get("rescale_factor", 1 / BYTE)) if found.get("do_rescale", True) else 1.0
    largest = BYTE * factor  # what a white pixel becomes before it is standardised
    return [v / largest for v in means], [v / largest for v in deviations]


def _list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, (list, tuple)) else [value]
