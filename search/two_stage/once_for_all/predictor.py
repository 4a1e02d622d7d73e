"""Predicts the accuracy of elastic networks: first in float32, then, from that, with few bits.

Source: Wang et al., *APQ*, CVPR 2020. Networks in float32 are cheap to measure, quantised ones
expensive: a neural network learns from many of the former and is transferred to a few of the
latter. APQ fine-tunes it with an input for bits; here its prediction is one input of a Gaussian
process (`surrogates.quantised`), which predicted better from as many networks. The prediction is
the mean of several neural networks; its uncertainty is their spread, or the process'.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ....common.errors import EvaluationError
from ....common.threads import one_thread
from ....evaluators.budgets import check_positive
from ....evaluators.seeding import seeded
from ....spaces.elastic import Geometry
from ....spaces.elastic_encoding import encode, widths
from ....spaces.elastic_genes import Networks, joined
from ...surrogates.quantised import BitsProcess

HIDDEN = 400


@dataclass(frozen=True)
class Fitting:
    """How predictors are trained.

    Attributes:
        members: The number of networks whose mean is the prediction.
        steps: Of Adam.
        batch: Networks in a step.
        learning_rate, weight_decay: Of Adam; the former falls to 0 by a cosine.
    """

    members: int = 5
    steps: int = 600
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 1e-4

    def __post_init__(self) -> None:
        check_positive(self, ("members", "steps", "batch"))


class AccuracyNetwork(nn.Sequential):
    """520-400-400-400-1 on the published space.

    Args:
        inputs: Columns of the encoding of architectures.
    """

    def __init__(self, inputs: int) -> None:
        widths = (inputs, HIDDEN, HIDDEN, HIDDEN)
        layers: list[nn.Module] = []
        for before, behind in itertools.pairwise(widths):
            layers += [nn.Linear(before, behind), nn.ReLU()]
        super().__init__(*layers, nn.Linear(HIDDEN, 1), nn.Flatten(0))


@dataclass(frozen=True, eq=False)
class Samples:
    """Networks and their accuracies ``[n]``."""

    networks: Networks
    accuracies: np.ndarray

    def __len__(self) -> int:
        return len(self.accuracies)

    def __getitem__(self, index: np.ndarray | slice) -> Samples:
        return Samples(self.networks[index], self.accuracies[index])

    def extended(self, other: Samples) -> Samples:
        """These, followed by others."""
        accuracies = np.concatenate([self.accuracies, other.accuracies])
        return Samples(joined([self.networks, other.networks]), accuracies)


@dataclass(frozen=True, eq=False)
class Knowledge:
    """A predictor's state: its members' weights, the scale of accuracies, the bits' process."""

    weights: Sequence[Mapping[str, Tensor]]
    scale: tuple[float, float] | None
    bits: BitsProcess | None


class Predictor:
    """An ensemble for the networks of one geometry.

    Args:
        geometry: What is predicted.
        fitting: How it is trained.
        seed: Of weights and batches.

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
        self._scale: tuple[float, float] | None = None
        self._bits: BitsProcess | None = None
        self._members: list[AccuracyNetwork] = []
        for member in range(self.fitting.members):
            with seeded(seed * 1_000 + member):
                self._members.append(AccuracyNetwork(widths(geometry)[0]))

    def fit(self, samples: Samples) -> Predictor:
        """Learn accuracies in float32, whatever the bits; continues from the current weights.

        Raises:
            EvaluationError: There are fewer than two samples.
        """
        _check(samples)
        mean, deviation = samples.accuracies.mean(), max(samples.accuracies.std(), 1e-6)
        self._scale, self._bits = (float(mean), float(deviation)), None
        target = torch.tensor((samples.accuracies - mean) / deviation).float()
        inputs = torch.from_numpy(encode(samples.networks)[0])
        with one_thread("cpu"):
            for number, member in enumerate(self._members):
                generator = torch.Generator().manual_seed(self.seed * 1_000 + number)
                _train(member, inputs, target, self.fitting, generator)
        return self

    def transfer(self, samples: Samples) -> Predictor:
        """Learn accuracies with bits, from the predictions in float32.

        Raises:
            EvaluationError: There are fewer than two samples.
        """
        _check(samples)
        floats = None if self._scale is None else self._in_floats(samples.networks)[0]
        with one_thread("cpu"):
            self._bits = BitsProcess(samples.networks, samples.accuracies, floats)
        return self

    def predict(self, networks: Networks) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies and their spread, ``[n]`` both."""
        in_floats = None if self._bits and self._scale is None else self._in_floats(networks)
        if self._bits is None:
            assert in_floats is not None
            return in_floats
        return self._bits.predict(networks, None if in_floats is None else in_floats[0])

    def _in_floats(self, networks: Networks) -> tuple[np.ndarray, np.ndarray]:
        """Accuracies in float32 and the members' spread."""
        mean, deviation = self._scale or (0.0, 1.0)
        architecture = torch.from_numpy(encode(networks)[0])
        with torch.no_grad(), one_thread("cpu"):
            said = torch.stack([member(architecture) for member in self._members]).double()
        spread = said.std(0, correction=0).numpy()
        return mean + deviation * said.mean(0).numpy(), deviation * spread

    @property
    def knowledge(self) -> Knowledge:
        """The current state; `restore` returns to it."""
        weights = [{k: v.clone() for k, v in m.state_dict().items()} for m in self._members]
        return Knowledge(weights, self._scale, self._bits)

    def restore(self, knowledge: Knowledge) -> Predictor:
        """Return to an earlier state."""
        for member, weights in zip(self._members, knowledge.weights, strict=True):
            member.load_state_dict(weights)
        self._scale, self._bits = knowledge.scale, knowledge.bits
        return self


def _check(samples: Samples) -> None:
    if len(samples) < 2:
        raise EvaluationError(
            f"{len(samples)} measured networks teach a predictor nothing: measure more"
        )


def _train(
    member: AccuracyNetwork,
    inputs: Tensor,
    target: Tensor,
    fitting: Fitting,
    generator: torch.Generator,
) -> None:
    optimizer = torch.optim.Adam(
        member.parameters(), fitting.learning_rate, weight_decay=fitting.weight_decay
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, fitting.steps)
    size = min(fitting.batch, len(target))
    order: list[int] = []
    for _ in range(fitting.steps):
        while len(order) < size:
            order += torch.randperm(len(target), generator=generator).tolist()
        index, order = torch.tensor(order[:size]), order[size:]
        loss = functional.mse_loss(member(inputs[index]), target[index])
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


# How good it is -----------------------------------------------------------------------------------


def pairwise_accuracy(said: Sequence[float], true: Sequence[float]) -> float:
    """The share of pairs of different true values that are predicted in their order."""
    a, b = np.asarray(said, dtype=float), np.asarray(true, dtype=float)
    first, second = np.triu_indices(len(b), 1)
    differs = b[first] != b[second]
    first, second = first[differs], second[differs]
    right = np.sign(a[first] - a[second]) == np.sign(b[first] - b[second])
    return float(right.mean()) if len(right) else float("nan")
