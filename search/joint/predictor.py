"""Predicts the accuracy of elastic networks: first of floats, then, from that, of few bits.

Source: Wang et al., *APQ*, CVPR 2020. Networks in float32 are cheap to measure, quantised ones
dear: a network learns from many of the former, gets an input for bits, and is fine-tuned on a few
of the latter: ``h = ReLU(L0 x_architecture) + L_bits x_bits``, then the same layers. Here several
such networks answer together, and their spread says how sure they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ...errors import EvaluationError
from ...evaluators.seeding import seeded
from ...spaces.elastic import Geometry
from ...spaces.elastic_encoding import encode, widths
from ...spaces.elastic_genes import Networks
from ...threads import one_thread

HIDDEN = 400


@dataclass(frozen=True)
class Fitting:
    """How predictors are trained.

    Attributes:
        members: How many answer together.
        steps: Of Adam on floats; fine-tuning on bits has as many.
        batch: Networks in a step.
        learning_rate, weight_decay: Of Adam; the former falls to 0 by a cosine.
    """

    members: int = 5
    steps: int = 600
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4


class AccuracyNetwork(nn.Module):
    """520-400-400-400-1 on the published space; with an input for bits beside the first layer.

    Args:
        architecture, bits: Columns of the encodings.
    """

    def __init__(self, architecture: int, bits: int) -> None:
        super().__init__()
        self.first = nn.Linear(architecture, HIDDEN)
        self.bits = nn.Linear(bits, HIDDEN)
        self.rest = nn.Sequential(
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, HIDDEN),
            nn.ReLU(),
            nn.Linear(HIDDEN, 1),
        )
        nn.init.zeros_(self.bits.weight)  # so that knowledge of floats is where bits begin
        nn.init.zeros_(self.bits.bias)

    def forward(self, architecture: Tensor, bits: Tensor | None) -> Tensor:
        """Standardised accuracies ``[n]``."""
        hidden = self.first(architecture).relu()
        if bits is not None:
            hidden = hidden + self.bits(bits)
        return cast(Tensor, self.rest(hidden)).squeeze(1)


@dataclass(frozen=True, eq=False)
class Samples:
    """Networks and their accuracies ``[n]``."""

    networks: Networks
    accuracies: np.ndarray

    def __len__(self) -> int:
        return len(self.accuracies)

    def __getitem__(self, index: np.ndarray | slice) -> Samples:
        return Samples(self.networks[index], self.accuracies[index])


@dataclass(frozen=True, eq=False)
class Knowledge:
    """What a predictor has learned: its members' weights, the scale of accuracies, its inputs."""

    weights: Sequence[Mapping[str, Tensor]]
    mean: float
    deviation: float
    reads_bits: bool


class Predictor:
    """An ensemble for the networks of one geometry.

    Args:
        geometry: What is predicted.
        fitting: How it is trained.
        seed: Of weights and batches.

    Attributes:
        calls: How many networks were predicted so far.

    Example:
        >>> predictor = Predictor(SMALL).fit(floats)  # doctest: +SKIP
        >>> predictor.transfer(quantised).predict(networks)  # doctest: +SKIP
        (array([0.891, ...]), array([0.002, ...]))
    """

    def __init__(
        self, geometry: Geometry, fitting: Fitting | None = None, *, seed: int = 0
    ) -> None:
        self.geometry = geometry
        self.fitting = fitting or Fitting()
        self.seed = seed
        self.calls = 0
        self.reads_bits = False
        self._mean, self._deviation = 0.0, 1.0
        self._members: list[AccuracyNetwork] = []
        for member in range(self.fitting.members):
            with seeded(seed * 1_000 + member):
                self._members.append(AccuracyNetwork(*widths(geometry)))

    def fit(self, samples: Samples) -> Predictor:
        """Learn accuracies in float32; bits are not looked at. Goes on from what is known.

        Raises:
            EvaluationError: There are fewer than two samples.
        """
        return self._learn(samples, reads_bits=False)

    def transfer(self, samples: Samples) -> Predictor:
        """Learn accuracies with bits, from what is known of floats.

        Raises:
            EvaluationError: There are fewer than two samples.
        """
        return self._learn(samples, reads_bits=True)

    def predict(self, networks: Networks) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies and their spread among the members, both ``[n]``."""
        self.calls += len(networks)
        architecture, bits = self._inputs(networks)
        with torch.no_grad(), one_thread("cpu"):
            said = torch.stack([member(architecture, bits) for member in self._members]).double()
        mean, spread = said.mean(0).numpy(), said.std(0, correction=0).numpy()
        return self._mean + self._deviation * mean, self._deviation * spread

    @property
    def knowledge(self) -> Knowledge:
        """What is known now; `restore` goes back to it."""
        weights = [{k: v.clone() for k, v in m.state_dict().items()} for m in self._members]
        return Knowledge(weights, self._mean, self._deviation, self.reads_bits)

    def restore(self, known: Knowledge) -> Predictor:
        """Go back to what was known once."""
        for member, weights in zip(self._members, known.weights, strict=True):
            member.load_state_dict(weights)
        self._mean, self._deviation = known.mean, known.deviation
        self.reads_bits = known.reads_bits
        return self

    def _learn(self, samples: Samples, *, reads_bits: bool) -> Predictor:
        if len(samples) < 2:
            raise EvaluationError(
                f"{len(samples)} measured networks teach a predictor nothing: measure more"
            )
        self.reads_bits = reads_bits
        self._mean = float(samples.accuracies.mean())
        self._deviation = max(float(samples.accuracies.std()), 1e-6)
        target = torch.tensor((samples.accuracies - self._mean) / self._deviation).float()
        inputs = self._inputs(samples.networks)
        with one_thread("cpu"):
            for number, member in enumerate(self._members):
                generator = torch.Generator().manual_seed(self.seed * 1_000 + number)
                _train(member, inputs, target, self.fitting, generator)
        return self

    def _inputs(self, networks: Networks) -> tuple[Tensor, Tensor | None]:
        architecture, bits = encode(networks)
        return torch.from_numpy(architecture), torch.from_numpy(bits) if self.reads_bits else None


def _train(
    member: AccuracyNetwork,
    inputs: tuple[Tensor, Tensor | None],
    target: Tensor,
    fitting: Fitting,
    generator: torch.Generator,
) -> None:
    optimizer = torch.optim.Adam(
        member.parameters(), fitting.learning_rate, weight_decay=fitting.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, fitting.steps)
    architecture, bits = inputs
    size = min(fitting.batch, len(target))
    order: list[int] = []
    for _ in range(fitting.steps):
        while len(order) < size:
            order += torch.randperm(len(target), generator=generator).tolist()
        index, order = torch.tensor(order[:size]), order[size:]
        said = member(architecture[index], None if bits is None else bits[index])
        loss = functional.mse_loss(said, target[index])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


# How good it is -----------------------------------------------------------------------------------


def pairwise_accuracy(said: Sequence[float], true: Sequence[float]) -> float:
    """The share of pairs of different true values that are said in their order."""
    a, b = np.asarray(said, dtype=float), np.asarray(true, dtype=float)
    first, second = np.triu_indices(len(b), 1)
    differs = b[first] != b[second]
    first, second = first[differs], second[differs]
    right = np.sign(a[first] - a[second]) == np.sign(b[first] - b[second])
    return float(right.mean()) if len(right) else float("nan")
