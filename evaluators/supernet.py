"""Supernets for one-shot search: two losses of flat vectors, gates, and data in two halves.

What is searched (cells on images, layers on graphs) gives a network whose forward pass takes gates,
and `Halves` of data; everything else is the same for all.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import vmap
from torch.nn import functional

from ..common.errors import unknown_name
from ..spaces.relaxation import Pick, Relaxation
from .flat import FlatNetwork

GATES = ("softmax", "sigmoid")
ALPHA_START = 1e-3
"""The standard deviation of alphas at the start, DARTS'."""


@dataclass(frozen=True)
class Batch:
    """What one pass looks at.

    Attributes:
        inputs: The network's arguments before the gates.
        y: Classes ``[n]``.
        index: Which of the network's outputs are looked at; ``None`` for all.
    """

    inputs: tuple[Any, ...]
    y: Tensor
    index: Tensor | None = None


class Halves(Protocol):
    """Data in two halves, for weights and for alphas."""

    def batches(self, epoch: int) -> Iterator[tuple[Batch, Batch]]:
        """(train, validation) batches: a pure function of the epoch."""

    def judging(self) -> Sequence[Batch]:
        """Batches of the validation half that never change."""


class Supernet:
    """All networks of a space at once.

    Args:
        network: Its forward pass takes a batch's inputs and ``gates``. It normalises by the
            statistics of each batch, so that parameters are all that it learns.
        relaxation: The decisions that the gates are of.
        halves: The data.
        gate: ``softmax``: options compete; ``sigmoid``: they do not (Chu et al., *FairDARTS*,
            ECCV 2020).
        zero_one: The weight of FairDARTS' loss that drives sigmoid gates to 0 or 1.
        decaying_skip: A skip connection beside every edge of a cell whose weight falls from 1 to 0
            (Chu et al., *DARTS-*, ICLR 2021): so alphas need not favour skips to ease training.

    Raises:
        UnknownNameError: There is no such gate.
    """

    def __init__(
        self,
        network: nn.Module,
        relaxation: Relaxation,
        halves: Halves,
        *,
        gate: str = "softmax",
        zero_one: float = 0.0,
        decaying_skip: bool = False,
    ) -> None:
        if gate not in GATES:
            raise unknown_name("gate", gate, GATES)
        self.network = network
        self.relaxation = relaxation
        self.halves = halves
        self.gate = gate
        self.zero_one = zero_one
        self.decaying_skip = decaying_skip
        self._flat = FlatNetwork(network)
        self._options = [len(options) for options in relaxation.decisions.values()]
        self.set_progress(0.0)

    def start(self, seed: int) -> tuple[Tensor, Tensor]:
        """The network's weights ``[n]`` and alphas near 0 ``[m]``."""
        generator = torch.Generator().manual_seed(seed)
        weights = self._flat.weights()
        alpha = ALPHA_START * torch.randn(sum(self._options), generator=generator)
        return weights, alpha.to(weights.device)

    def set_progress(self, share: float) -> None:
        """Set the share of the search that is over, from 0 to 1: decaying skips follow it."""
        edges: list[Any] = [part for part in self.network.modules() if hasattr(part, "extra")]
        for edge in edges:
            edge.extra = 1.0 - share if self.decaying_skip else 0.0

    # Losses -------------------------------------------------------------------------------------

    def train_loss(self, weights: Tensor, alpha: Tensor, batch: Batch) -> Tensor:
        """Cross entropy on a batch of the train half."""
        return self._loss(weights, alpha, batch)

    def validation_loss(self, weights: Tensor, alpha: Tensor, batch: Batch) -> Tensor:
        """Cross entropy on a batch of the validation half, and the zero-one loss of the gates."""
        return self._loss(weights, alpha, batch) + self._zero_one_loss(alpha)

    def both_losses(
        self, w: Tensor, y: Tensor, alpha: Tensor, train: Batch, validation: Batch
    ) -> tuple[Tensor, Tensor]:
        """The train loss of w and the validation loss of y, ``[n]`` both.

        Two batches of images of one shape go through both networks in one pass of operations that
        are twice as wide: a small network's passes cost by the operation.
        """
        if train.index is not None or train.inputs[0].shape != validation.inputs[0].shape:
            return self.train_loss(w, alpha, train), self.validation_loss(y, alpha, validation)

        def loss(weights: Tensor, x: Tensor, labels: Tensor) -> Tensor:
            return self._loss(weights, alpha, Batch((x,), labels))

        pairs = ((w, y), (train.inputs[0], validation.inputs[0]), (train.y, validation.y))
        both = vmap(loss)(*(torch.stack(pair) for pair in pairs))
        return both[0], both[1] + self._zero_one_loss(alpha)

    def _zero_one_loss(self, alpha: Tensor) -> Tensor | float:
        if not self.zero_one:
            return 0.0
        return -self.zero_one * (alpha.sigmoid() - 0.5).square().mean()

    def _loss(self, weights: Tensor, alpha: Tensor, batch: Batch) -> Tensor:
        return functional.cross_entropy(self._scores(weights, self.gates(alpha), batch), batch.y)

    def _scores(self, weights: Tensor, gates: dict[str, Tensor], batch: Batch) -> Tensor:
        output = self._flat(weights, *batch.inputs, gates)
        return output if batch.index is None else output[batch.index]

    # Strengths ----------------------------------------------------------------------------------

    def gates(self, alpha: Tensor, without: Collection[Pick] = ()) -> dict[str, Tensor]:
        """The weights of each decision's options, ``[options]``.

        Args:
            alpha: ``[m]``.
            without: Options that are taken out; the others of a softmax share what is freed.
        """
        gates = {}
        for (name, options), values in zip(
            self.relaxation.decisions.items(), torch.split(alpha, self._options), strict=True
        ):
            out = [(name, option) in without for option in options]
            if any(out):
                mask = torch.tensor(out, device=values.device)
                values = values.masked_fill(mask, -torch.inf)
            gates[name] = values.softmax(0) if self.gate == "softmax" else values.sigmoid()
        return gates

    def strengths(self, alpha: Tensor) -> dict[str, np.ndarray]:
        """The logarithms of the gates, ``[options]`` by decision."""
        gates = self.gates(alpha.detach())
        return {name: gate.log().double().cpu().numpy() for name, gate in gates.items()}

    def by_decision(self, alpha: Tensor) -> dict[str, list[float]]:
        """Alphas as plain numbers, ``[options]`` by decision."""
        parts = torch.split(alpha.detach(), self._options)
        names = self.relaxation.decisions
        return {name: part.tolist() for name, part in zip(names, parts, strict=True)}

    @torch.no_grad()
    def judge(
        self, weights: Tensor, alpha: Tensor, without: Collection[Pick] = ()
    ) -> tuple[float, float]:
        """Loss and accuracy on the validation half, with some options taken out."""
        gates = self.gates(alpha, without)
        loss = right = count = 0.0
        with self.still():
            for batch in self.halves.judging():
                scores = self._scores(weights, gates, batch)
                loss += float(functional.cross_entropy(scores, batch.y, reduction="sum"))
                right += float((scores.argmax(1) == batch.y).sum())
                count += len(batch.y)
        return loss / count, right / count

    @contextmanager
    def still(self) -> Iterator[None]:
        """Inside the block the network draws nothing: no dropout."""
        self.network.eval()
        try:
            yield
        finally:
            self.network.train()
