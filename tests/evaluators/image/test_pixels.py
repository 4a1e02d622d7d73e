"""How images are brought into a backbone's form."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from bequest.common.errors import ArchitectureError
from bequest.evaluators.image.backbones import ImageBackbone
from bequest.evaluators.image.pixels import PixelForm

IMAGES = np.random.default_rng(0).normal(size=(4, 3, 6, 6)) * np.array([1, 5, 9])[:, None, None]
IMAGES += np.array([10, 20, 30])[:, None, None]


def backbone(channels: int = 3, **facts: Any) -> ImageBackbone:
    usual = {"size": (6, 6), "patch": (3, 3), "standard": None}
    return ImageBackbone("some", False, nn.Identity(), channels, **{**usual, **facts})


def test_each_channel_is_standardised_by_its_own_mean_and_deviation() -> None:
    form = PixelForm.of(backbone(), IMAGES)
    assert form.offset == pytest.approx(IMAGES.mean((0, 2, 3)))
    assert form.spread == pytest.approx(IMAGES.std((0, 2, 3)))
    found = form(torch.from_numpy(IMAGES))
    assert found.mean((0, 2, 3)) == pytest.approx(np.zeros(3), abs=1e-5)
    assert found.std((0, 2, 3), correction=0) == pytest.approx(np.ones(3), abs=1e-5)


def test_a_constant_channel_is_not_divided_by_nothing() -> None:
    form = PixelForm.of(backbone(), np.full((2, 3, 6, 6), 7.0))
    assert form(torch.full((1, 3, 6, 6), 7.0)).abs().max() == 0


def test_grey_becomes_colour() -> None:
    grey = IMAGES[:, :1]
    form = PixelForm.of(backbone(), grey)
    assert form.offset == pytest.approx([grey.mean()] * 3)
    found = form(torch.from_numpy(grey))
    assert found.shape == (4, 3, 6, 6)
    assert torch.equal(found[:, 0], found[:, 2])


def test_colour_becomes_grey() -> None:
    form = PixelForm.of(backbone(channels=1), IMAGES)
    assert form.offset == pytest.approx([IMAGES.mean((0, 2, 3)).mean()])
    expected = (IMAGES.mean(1, keepdims=True) - form.offset[0]) / form.spread[0]
    assert form(torch.from_numpy(IMAGES)).numpy() == pytest.approx(expected, abs=1e-4)


def test_the_backbones_own_scale_is_one_of_pixels_from_nought_to_one() -> None:
    bytes_ = np.zeros((2, 3, 6, 6), dtype=np.uint8)
    form = PixelForm.of(backbone(standard=([0.5, 0.4, 0.3], [0.2, 0.2, 0.1])), bytes_)
    assert form.offset == pytest.approx([127.5, 102, 76.5])
    assert form.spread == pytest.approx([51, 51, 25.5])


def test_other_channels_are_refused() -> None:
    with pytest.raises(ArchitectureError, match="takes images of 4 channels, and there are 3"):
        PixelForm.of(backbone(channels=4), IMAGES)
