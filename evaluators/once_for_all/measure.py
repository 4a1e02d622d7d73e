"""Measure networks that are cut from a once-for-all network, without training them."""

from __future__ import annotations

import torch
from torch import nn

from ..image.tasks import Images
from ..image.training import SCORING_BATCH, score
from .network import BottleneckNetwork, Cut, OnceForAll

CALIBRATING = 2_000
"""Images from which a network's own means and variances are taken."""


def measure(once_for_all: OnceForAll, cut: Cut, calibration: Images, judging: Images) -> float:
    """The accuracy of a cut, with normalisation of its own.

    Args:
        once_for_all: What it is cut from.
        cut: The architecture.
        calibration: Training images, without augmentation.
        judging: The images that are scored.
    """
    network = once_for_all.extract(cut)
    calibrate(network, calibration)
    return score(network, judging)[0]


@torch.no_grad()
def calibrate(network: BottleneckNetwork, images: Images) -> None:
    """Set the running statistics of normalisation to those of some images.

    The shared weights have no statistics that fit every cut: each needs its own (Cai et al., 2020).
    """
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean over all batches
    network.train()
    calibrating = images.x[:CALIBRATING]
    # Batches of like sizes: each counts as much in the mean.
    for part in torch.tensor_split(calibrating, -(-len(calibrating) // SCORING_BATCH)):
        network(part.contiguous(memory_format=torch.channels_last))
    network.eval()
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
