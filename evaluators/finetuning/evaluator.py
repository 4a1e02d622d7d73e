"""The evaluator of fine-tuning configurations, whether the backbone reads texts or images."""

from __future__ import annotations

import copy
import gc
from abc import abstractmethod
from collections.abc import Collection, Mapping
from typing import Any, Generic, Protocol, TypeVar

import torch
from torch import nn

from ...common.errors import ArchitectureError, ConfigurationError, OverLimitError, unknown_name
from ...spaces import Config, Space
from ..peft.arch import describe_architecture
from ..peft.cost import LIMITED, Cost, CostModel, exceeded
from ..peft.registry import METHODS, attach
from ..peft.space import MethodChoice, method_of, peft_space, usual_methods
from ..task import Outcome, Report, Task
from ..training_evaluator import Trained, TrainingEvaluator
from ..training_loop import TrainingResult, Validation
from .batches import Examples, FrozenStates
from .costs import TuningCosts
from .network import REGULARISATION, TunedNetwork
from .prepared import PARTS, Part, Prepared
from .training import TuningBudget, TuningSettings, score, train


class Pretrained(Protocol):
    """A pre-trained backbone with what brings examples into its form."""

    @property
    def name(self) -> str:
        """For people."""

    @property
    def model(self) -> nn.Module:
        """In evaluation mode, without a head."""


Backbone = TypeVar("Backbone", bound=Pretrained)


class TuningEvaluator(TrainingEvaluator, Generic[Backbone, Part]):
    """Puts the configured method on a pre-trained backbone, trains it, and measures it.

    A subclass says how the backbone is loaded, how a task's parts become examples for it, and what
    kind of model a trained network is.

    Args:
        task: What is predicted.
        space: The configurations.
        classes: How many the task has.
        budget: Epochs, examples.
        limits: The most that a configuration may cost; what exceeds them is refused before it is
            trained.
        device: Where to train; by default a GPU where there is one.

    Raises:
        UnknownNameError: There is no such limit.
    """

    def __init__(
        self,
        task: Task,
        space: Space,
        *,
        classes: int,
        budget: TuningBudget,
        limits: Mapping[str, float] | None,
        device: str | None,
    ) -> None:
        super().__init__(task, space, device)
        self.limits = dict(limits or {})
        for name in self.limits:
            if name not in LIMITED:
                raise unknown_name("cost to limit", name, LIMITED)
        self._classes, self.budget = classes, budget
        self._backbone: Backbone | None = None
        self._prepared: dict[int, Prepared[Part]] = {}
        self._costs: TuningCosts | None = None

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        """Train and measure, see `TrainingEvaluator`."""
        try:
            return super().__call__(config, seed=seed, report=report)
        finally:
            # Hooks and the copied backbone hold each other: it must not wait for the collector.
            gc.collect()

    def __getstate__(self) -> dict[str, Any]:
        """What worker processes get: they load the backbone, and compute features and costs."""
        return {**self.__dict__, "_backbone": None, "_prepared": {}, "_costs": None}

    @property
    def backbone(self) -> Backbone:
        """The backbone, untouched; each training works on a copy."""
        if self._backbone is None:
            self._backbone = self._load()
        return self._backbone

    @abstractmethod
    def _load(self) -> Backbone:
        """The backbone."""

    @abstractmethod
    def _prepare(self, seed: int) -> Prepared[Part]:
        """The task's parts as examples."""

    @abstractmethod
    def _both(self, seed: int) -> Part:
        """The training and validation examples together."""

    @abstractmethod
    def _cost_model(self) -> CostModel:
        """What predicts steps on the backbone."""

    def _usual_space(self, methods: Collection[str] | None) -> Space:
        """`peft_space` of the backbone, within the limits.

        Args:
            methods: What is searched; ``None`` for the usual ones that fit the backbone.
        """
        layers = len(describe_architecture(self.backbone.model).layers)
        chosen = self.fitting(
            usual_methods() if methods is None else methods, asked=methods is not None
        )
        if self.limits:
            return self.costs.space_within(self.limits, chosen, layers)
        return peft_space(layers, chosen)

    def fitting(self, methods: Collection[str], *, asked: bool) -> list[str]:
        """The methods, of those given, that fit the backbone.

        Args:
            methods: Names of methods that can be searched.
            asked: Whether the user has named these methods.

        Raises:
            UnknownNameError: There is no such method.
            ArchitectureError: One that is asked for does not fit.
        """
        peft_space(1, methods)  # unknown names have their own error
        fitting = []
        model = copy.deepcopy(self.backbone.model)  # a method that does not fit may leave traces
        with torch.random.fork_rng(devices=[]):
            for method in methods:
                try:
                    attach(model, method, **METHODS[method].cheapest()[0]).remove()
                except (ArchitectureError, ConfigurationError):
                    if asked:
                        raise
                else:
                    fitting.append(method)
        return fitting

    # Costs --------------------------------------------------------------------------------------

    def cost(self, config: Config) -> Cost:
        """What a configuration costs, predicted, the head among its trainable numbers.

        Raises:
            ArchitectureError: The configuration does not fit the backbone.
            ConfigurationError: Neither does one of its knobs.
        """
        return self.costs.of(method_of(config))

    def allows(self, config: Config) -> bool:
        """Whether a configuration fits the backbone, and meets the limits as predicted."""
        try:
            return exceeded(self.cost(config), self.limits) is None
        except (ArchitectureError, ConfigurationError):
            return False

    @property
    def costs(self) -> TuningCosts:
        """Predicts costs on this task's examples."""
        if self._costs is None:
            examples = self.prepared(0).parts["train"]
            epochs = self.budget.epochs
            arch = describe_architecture(self.backbone.model)
            self._costs = TuningCosts(
                self.backbone.name,
                self._cost_model(),
                examples,
                self._longest(examples),
                epochs,
                self._classes,
                kept=FrozenStates.fits(examples, len(arch.layers), arch.width),
            )
        return self._costs

    def _longest(self, examples: Part) -> int:
        """The length of the longest training example that any seed may draw.

        Args:
            examples: Those of one seed.
        """
        return max(examples.lengths)

    # Training -----------------------------------------------------------------------------------

    def prepared(self, seed: int) -> Prepared[Part]:
        """The task's parts, with the frozen backbone's features; kept for one seed."""
        if seed not in self._prepared:
            self._prepared = {seed: self._prepare(seed)}
        return self._prepared[seed]

    def _train(self, config: Config, seed: int, report: Report | None) -> Trained:
        reason = exceeded(self.cost(config), self.limits)
        if reason is not None:
            raise OverLimitError(f"not trained: {reason}")
        prepared = self.prepared(seed)
        parts: dict[str, tuple[Examples, str]] = {p: (prepared.parts[p], p) for p in PARTS}
        return self._train_on(config, seed, parts, report)

    def _train_on_both(self, config: Config, seed: int) -> Trained:
        parts: dict[str, tuple[Examples, str]] = {
            "train": (self._both(seed), ""),
            "test": (self.prepared(seed).parts["test"], "test"),
        }
        return self._train_on(config, seed, parts, None)

    def _train_on(
        self,
        config: Config,
        seed: int,
        parts: dict[str, tuple[Examples, str]],
        report: Report | None,
    ) -> Trained:
        choice = method_of(config)
        network = self._network(choice, float(config.get("head_dropout", 0.0)))
        prepared = self.prepared(seed)
        examples, key = parts["train"]
        if config.get("head_init", "probe") == "probe":
            regularisation = choice.knobs.get("regularisation", REGULARISATION)
            network.start_head(*prepared.probe(examples, key, regularisation))
        states = {part: prepared.states(network.handle, *named) for part, named in parts.items()}

        def scored(part: str, examples: Examples, states: FrozenStates | None) -> dict[str, float]:
            accuracy, loss = score(network, examples, states)
            return {f"{part}_accuracy": accuracy, f"{part}_loss": loss}

        last: dict[str, float] = {}

        def validate() -> tuple[float, float]:
            last.update(scored("validation", parts["validation"][0], states["validation"]))
            return last["validation_accuracy"], last["validation_loss"]

        if METHODS[choice.method].rates is None:  # the head is solved for
            training = TrainingResult(1, 1, 0.0, 0)
            if report is not None:
                report(self.budget.epochs, validate()[0])
        else:
            settings = TuningSettings(
                learning_rate=choice.learning_rate,
                head_factor=float(config["head_rate"]),
                weight_decay=float(config["weight_decay"]),
                batch=int(config["batch"]),
                epochs=self.budget.epochs,
            )
            validation = None if report is None else Validation(validate, report)
            training = train(
                network,
                examples,
                settings,
                seed=seed,
                states=states["train"],
                validation=validation,
            )

        def scores() -> dict[str, float]:
            measured = dict(last)
            for part, (examples, _) in parts.items():
                if part != "train" and f"{part}_accuracy" not in measured:
                    measured |= scored(part, examples, states[part])
            cost = self.cost(config)
            return measured | {
                "trainable_parameters": float(cost.parameters),
                "activation_bytes": cost.memory,
                "training_flops": cost.flops,
            }

        def thorough() -> dict[str, float]:
            whole = prepared.whole_test
            return scored("train", examples, states["train"]) | scored("test", whole, None)

        one = examples.inputs([0], self.device)
        return Trained(network, training, scores, lambda: network(one), thorough)

    def _network(self, choice: MethodChoice, dropout: float) -> TunedNetwork:
        """A method on a copy of the backbone, so that no trace of it is left for later trials."""
        model = copy.deepcopy(self.backbone.model).to(self.device)
        handle = attach(model, choice.method, layer_lo=choice.layer_lo, **choice.knobs)
        network = TunedNetwork(handle, self._classes, dropout)
        network.head.to(self.device)
        return network
