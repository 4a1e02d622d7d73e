"""What fine-tuning configurations cost on a task, and the space that limits leave."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from contextlib import suppress

from ...common.errors import ArchitectureError, SpaceError
from ...spaces import Config, Space
from ..peft.cost import MIB, Cost, CostModel, exceeded
from ..peft.registry import METHODS
from ..peft.space import MethodChoice, method_of, peft_space
from .batches import Examples
from .training import MICRO_BATCH


class TuningCosts:
    """Predicts what configurations cost.

    Args:
        name: The backbone's.
        model: Predicts steps on it.
        examples: Training examples.
        longest: Of the longest that may be among them.
        epochs: Of a training.
        classes: Outputs of the head.
        kept: Whether the frozen backbone's states are computed once and kept.
    """

    def __init__(
        self,
        name: str,
        model: CostModel,
        examples: Examples,
        longest: int,
        epochs: int,
        classes: int,
        *,
        kept: bool,
    ) -> None:
        self.name = name
        self.epochs = epochs
        self.examples = len(examples)
        self.longest = longest
        self.mean = round(sum(examples.lengths) / len(examples))
        self.classes = classes
        self.kept = kept
        self._model = model

    def of(self, choice: MethodChoice) -> Cost:
        """What a training costs: trainable numbers, the head's among them; memory; operations.

        Memory is that of `MICRO_BATCH` of the longest examples, whatever the batch. Methods that
        only read the frozen backbone's states are charged one pass through it where these are kept,
        else one an epoch.
        """
        method = METHODS[choice.method]
        knobs = {k: v for k, v in choice.knobs.items() if k not in method.free}
        density = 1.0
        if method.density is not None:  # of the weights that are kept, whichever they are
            density, knobs[method.density] = knobs[method.density], 1.0
        step, usual = (
            self._model.predict(
                choice.method, knobs, layer_lo=choice.layer_lo, batch=MICRO_BATCH, length=length
            )
            for length in (self.longest, self.mean)
        )
        head = (step.width + 1) * self.classes
        trained = round(density * step.parameters)
        frozen = self._model.predict("probe", {}, batch=MICRO_BATCH, length=self.mean).flops
        once = frozen if step.frozen and (self.kept or method.rates is None) else 0.0
        flops = (once + self.epochs * (usual.flops - once)) * self.examples / MICRO_BATCH
        return Cost(trained + head, step.memory, flops, step.width, step.frozen)

    def space_within(
        self, limits: Mapping[str, float], methods: Collection[str], layers: int
    ) -> Space:
        """The space of a backbone, without what cannot meet the limits.

        Raises:
            SpaceError: Nothing meets them.
        """
        starts = {method: self._lowest(method, layers, limits) for method in methods}
        lowest = {method: low for method, low in starts.items() if low is not None}
        if not lowest:
            asked = ", ".join(f"{name}={value:.6g}" for name, value in limits.items())
            costs = [
                self.of(choice)
                for method in methods
                for choice in self._cheapest(method, layers - 1 if METHODS[method].ranged else 0)
            ]
            parameters, memory, flops = (
                min(float(getattr(cost, name)) for cost in costs)
                for name in ("parameters", "memory", "flops")
            )
            raise SpaceError(
                f"no method meets the limit {asked} on {self.name!r}: the least that one needs is "
                f"parameters={parameters:.0f}, memory={memory / MIB:.3g}MiB, "
                f"flops={flops / 1e9:.3g}G; allow more"
            )

        def affordable(config: Config) -> bool:
            return self.meets(method_of(config), limits)

        return peft_space(layers, tuple(lowest), lowest, keep=affordable)

    def meets(self, choice: MethodChoice, limits: Mapping[str, float]) -> bool:
        """Whether a configuration meets limits."""
        return exceeded(self.of(choice), limits) is None

    def _lowest(self, method: str, layers: int, limits: Mapping[str, float]) -> int | None:
        """The first layer from which a method, at its cheapest, meets the limits."""

        def meets(layer_lo: int) -> bool:
            return any(self.meets(choice, limits) for choice in self._cheapest(method, layer_lo))

        if meets(0):
            return 0
        if not METHODS[method].ranged or not meets(layers - 1):
            return None
        low, high = 1, layers - 1  # costs fall with the first layer
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if meets(middle) else (middle + 1, high)
        return low

    def _cheapest(self, method: str, layer_lo: int) -> list[MethodChoice]:
        """A method at its cheapest, by one cost or another; what the backbone is too short for is
        left out."""
        choices = []
        for knobs in METHODS[method].cheapest():
            choice = MethodChoice(method, knobs, layer_lo, 0.0)
            with suppress(ArchitectureError):
                self.of(choice)
                choices.append(choice)
        return choices
