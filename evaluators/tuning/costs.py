"""What fine-tuning configurations cost on a task, and the space that limits leave."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ...errors import SpaceError
from ...spaces import Space
from ...spaces.peft import WHOLE, MethodChoice, peft_space, smallest
from ..peft.cost import MIB, Cost, CostModel, exceeded
from .batches import Examples
from .training import MICRO_BATCH

CHEAP = ("dropout", "regularisation")
"""Knobs that cost nothing: predictions are shared by all their values."""


class TuningCosts:
    """Predicts what configurations cost.

    Args:
        name: The backbone's.
        model: Predicts steps on it.
        examples: The training examples.
        epochs: Of a training.
    """

    def __init__(self, name: str, model: CostModel, examples: Examples, epochs: int) -> None:
        self.name = name
        self.epochs = epochs
        self.examples = len(examples)
        self.longest = max(examples.lengths)
        self.mean = round(sum(examples.lengths) / len(examples))
        self._model = model

    def of(self, choice: MethodChoice, batch: int = MICRO_BATCH) -> Cost:
        """Trainable numbers, memory of a step on the longest examples, operations of a training."""
        knobs = {k: v for k, v in choice.knobs.items() if k not in CHEAP}
        together = min(batch, MICRO_BATCH)
        step, usual = (
            self._model.predict(
                choice.method, knobs, layer_lo=choice.layer_lo, batch=together, length=length
            )
            for length in (self.longest, self.mean)
        )
        # The probe's features are computed once, whatever the epochs.
        epochs = 1 if choice.method == "probe" else self.epochs
        steps = epochs * self.examples / together
        return Cost(step.parameters, step.memory, usual.flops * steps)

    def space_within(
        self, limits: Mapping[str, float], methods: Collection[str], layers: int
    ) -> Space:
        """The space of a backbone, without what cannot meet the limits.

        Raises:
            SpaceError: Nothing meets them.
        """
        found = {method: self._lowest(method, layers, limits) for method in methods}
        lowest = {method: low for method, low in found.items() if low is not None}
        if not lowest:
            asked = ", ".join(f"{name}={value:.6g}" for name, value in limits.items())
            least = self.of(_cheapest("probe", 0))
            raise SpaceError(
                f"no method meets the limit {asked} on {self.name!r}: the probe needs "
                f"parameters={least.parameters}, memory={least.memory / MIB:.3g}MiB, "
                f"flops={least.flops / 1e9:.3g}G; allow more"
            )
        return peft_space(layers, tuple(lowest), lowest)

    def _lowest(self, method: str, layers: int, limits: Mapping[str, float]) -> int | None:
        """The first layer from which a method, at its cheapest, meets the limits."""

        def meets(layer_lo: int) -> bool:
            return exceeded(self.of(_cheapest(method, layer_lo)), limits) is None

        if meets(0):
            return 0
        if method in WHOLE or not meets(layers - 1):
            return None
        low, high = 1, layers - 1  # costs fall with the first layer
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if meets(middle) else (middle + 1, high)
        return low


def _cheapest(method: str, layer_lo: int) -> MethodChoice:
    return MethodChoice(method, smallest(method), layer_lo, 0.0)
