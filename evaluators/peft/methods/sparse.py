"""LT-SFT: tune all weights, keep the few that moved most, rewind, tune those only.

Ansell et al., *Composable Sparse Fine-Tuning* (ACL 2022). What is learned is a sparse difference
``theta - theta_0``; differences of a task and a language add (`compose`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn

from ....common.errors import DataError
from ..handle import Handle, Site, State
from ..method import LearningRates, Method, one_of
from ..weights import all_weights


def sparse(
    site: Site, *, density: float = 0.05, first_share: float = 0.5, penalty: float = 0.0
) -> Handle:
    """Tune the share of the weights that moves most.

    Args:
        site: Where.
        density: The share of the weights that is kept.
        first_share: The share of all steps after which weights are selected and rewound.
        penalty: Weight of the L1 norm of the difference, a mean over the weights.
    """
    return SparseHandle(site, all_weights(site), density, first_share, penalty)


class SparseHandle(Handle):
    """A dense first phase, then masked gradients; its state is indices and differences."""

    decays = False  # it would move what is not selected, and count as a move in the selection

    def __init__(
        self,
        site: Site,
        weights: Mapping[str, nn.Parameter],
        density: float,
        first_share: float,
        penalty: float,
    ) -> None:
        super().__init__(site, weights=weights, merge=lambda: None)
        self.density, self.first_share, self.penalty = density, first_share, penalty
        self.masks: dict[str, Tensor] | None = None

    def count(self) -> int:
        """How many numbers are kept in the end."""
        return round(self.density * super().count())

    def advance(self, progress: float, loss: float) -> bool:
        """Select and rewind once, when the first phase is over."""
        if self.masks is not None or progress < self.first_share:
            return False
        self.select()
        self._rewind({})
        return True

    def finish(self) -> None:
        """A training of too few steps for two phases: what moved most stays as it is."""
        if self.masks is None:
            self.select()
            assert self.masks is not None
            self._rewind(self.masks)

    @torch.no_grad()
    def select(self) -> None:
        """Choose the weights that moved most, over all tensors together."""
        moved = {name: (p - self.before(name)).abs() for name, p in self.weights.items()}
        flat = torch.cat([m.flatten() for m in moved.values()])
        count = max(1, round(self.density * flat.numel()))
        # Ties at the border (weights that never moved) would keep too many: take exactly so many.
        chosen = torch.zeros_like(flat, dtype=torch.bool)
        chosen[flat.topk(count).indices] = True
        parts = torch.split(chosen, [m.numel() for m in moved.values()])
        self.masks = {
            name: part.view_as(m) for (name, m), part in zip(moved.items(), parts, strict=True)
        }

    @torch.no_grad()
    def _rewind(self, exempt: Mapping[str, Tensor]) -> None:
        """Take all weights back to where they were, but for those that are kept."""
        for name, parameter in self.weights.items():
            before = self.before(name)
            parameter.copy_(
                torch.where(exempt[name], parameter, before) if name in exempt else before
            )

    def regularise(self) -> Tensor | None:
        """The mean absolute difference, weighted."""
        if not self.penalty:
            return None
        moved = [(p - self.before(n)).abs().sum() for n, p in self.weights.items()]
        return self.penalty * torch.stack(moved).sum() / super().count()

    def after_backward(self, loss: Callable[[], Tensor]) -> None:
        """Only what was selected has a gradient."""
        if self.masks is None:
            return
        for name, parameter in self.weights.items():
            if parameter.grad is not None:
                parameter.grad *= self.masks[name]

    def state(self) -> State:
        """Indices and values of the difference, per tensor.

        Values are of double precision: added to what was there before, a rounded difference would
        miss the weight by its last bit.
        """
        differences: State = {}
        for name, parameter in self.weights.items():
            difference = (parameter.detach().double() - self.before(name)).flatten()
            index = difference.nonzero().flatten()
            if len(index):
                differences[f"{name}.index"], differences[f"{name}.value"] = (
                    index,
                    difference[index],
                )
        return differences

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Rewind, then add the saved difference."""
        check_difference(self.weights, state)
        with torch.no_grad():
            for name, parameter in self.weights.items():
                parameter.copy_(self._before[name])
        apply_difference(self.weights, state)


def compose(states: Iterable[Mapping[str, Tensor]]) -> State:
    """The sum of sparse differences, for example a task's and a language's."""
    total: dict[str, dict[int, Tensor]] = {}
    for state in states:
        for name in sorted({key.rpartition(".")[0] for key in state}):
            entries = total.setdefault(name, {})
            for i, value in zip(
                state[f"{name}.index"].tolist(), state[f"{name}.value"], strict=True
            ):
                entries[i] = entries[i] + value if i in entries else value
    summed: State = {}
    for name, entries in total.items():
        index = sorted(entries)
        summed[f"{name}.index"] = torch.tensor(index)
        summed[f"{name}.value"] = torch.stack([entries[i] for i in index])
    return summed


@torch.no_grad()
def apply_difference(weights: Mapping[str, nn.Parameter], state: Mapping[str, Tensor]) -> None:
    """Add a sparse difference to weights.

    Raises:
        DataError: It names a weight that is not there.
    """
    check_difference(weights, state)
    for key in state:
        name, _, kind = key.rpartition(".")
        if kind == "index":
            flat = weights[name].view(-1)
            index = state[key].to(flat.device)
            flat[index] = (flat[index] + state[f"{name}.value"].to(flat.device)).to(flat)


def check_difference(weights: Mapping[str, nn.Parameter], state: Mapping[str, Tensor]) -> None:
    """Check that a sparse difference fits weights.

    Raises:
        DataError: It does not.
    """
    for key, value in state.items():
        name, _, kind = key.rpartition(".")
        if name not in weights:
            raise DataError(f"the difference changes {key!r}, which the backbone does not train")
        if kind == "index" and len(value) and int(value.max()) >= weights[name].numel():
            raise DataError(
                f"the difference changes number {int(value.max())} of {name!r}, which has "
                f"{weights[name].numel()}: it is of another backbone"
            )


METHOD = Method(
    "sparse",
    sparse,
    ranges={
        "density": FloatDistribution(1e-3, 0.3, log=True),
        "first_share": one_of(0.3, 0.5),
    },
    rates=LearningRates("sparse", 1e-5, 1e-3),
    searched=True,
    merges=True,
    free=frozenset({"first_share"}),
    density="density",
)
