"""Measure a fine-tuning configuration on a task of texts; train and keep the winner."""

from __future__ import annotations

import copy
from collections.abc import Collection, Mapping
from typing import Any

import torch
from torch import nn

from ..errors import EvaluationError, SpaceError, unknown_name
from ..spaces import Config, Space
from ..spaces.peft import KNOBS, USUAL, WHOLE, MethodChoice, method_of, peft_space, smallest
from .backbones import MINILM, Backbone, load_backbone
from .peft.arch import describe_architecture
from .peft.cost import LIMITED, MIB, Cost, CostModel, exceeded
from .peft.handle import Handle
from .peft.registry import attach
from .running import Training
from .task import Report
from .text_batches import FrozenStates, Tokens, pooled_features
from .text_model import TextFacts, TextModel
from .text_network import REGULARISATION, TunedNetwork, solve_probe
from .text_tasks import TextClassification
from .text_training import MICRO_BATCH, Settings, TextBudget, score, train
from .training_evaluator import Trained, TrainingEvaluator

PARTS = ("train", "validation", "test")


class TextEvaluator(TrainingEvaluator[TextModel]):
    """Puts the configured method on a pre-trained backbone, trains it, and measures it.

    The objective is the accuracy on the validation part after the last epoch; the test part decides
    nothing. On a CPU the outcome is a pure function of (configuration, seed).

    Args:
        task: What is predicted.
        backbone: A hub's model, a folder, or ``"minilm"``.
        methods: What is searched, of `bequest.spaces.peft.KNOBS`.
        space: The configurations; by default `peft_space` of the backbone, within the limits.
        budget: Epochs, examples, length.
        limits: The most that a configuration may cost: ``parameters`` (trainable numbers),
            ``memory`` (bytes of saved activations for 16 texts of the longest training length),
            ``flops`` (of the whole training). Methods and layers that cannot meet them are left out
            of the space; what exceeds them nevertheless is refused before it is trained.
        device: Where to train; by default a GPU where there is one.

    Raises:
        UnknownNameError: There is no such limit.
        SpaceError: Nothing meets the limits.

    Example:
        >>> evaluator = TextEvaluator(load_task("trec6"))  # doctest: +SKIP
        >>> evaluator(evaluator.space.default, seed=0).value  # doctest: +SKIP
        0.79
    """

    def __init__(
        self,
        task: TextClassification,
        *,
        backbone: str = MINILM,
        methods: Collection[str] = USUAL,
        space: Space | None = None,
        budget: TextBudget | None = None,
        limits: Mapping[str, float] | None = None,
        device: str | None = None,
    ) -> None:
        self.backbone_name = backbone
        self.budget = budget or TextBudget()
        self.limits = dict(limits or {})
        for name in self.limits:
            if name not in LIMITED:
                raise unknown_name("cost to limit", name, LIMITED)
        self._backbone: Backbone | None = load_backbone(backbone)
        self._prepared: dict[int, Prepared] = {}
        self._costs: CostModel | None = None
        super().__init__(task, space or peft_space(), device)
        self.task: TextClassification = task
        if space is None:
            self.space = self._space(methods)

    def __getstate__(self) -> dict[str, Any]:
        """What worker processes get: backbone, features and costs are made anew there."""
        return {**self.__dict__, "_backbone": None, "_prepared": {}, "_costs": None}

    @property
    def backbone(self) -> Backbone:
        """The backbone, untouched; each training works on a copy."""
        if self._backbone is None:
            self._backbone = load_backbone(self.backbone_name)
        return self._backbone

    # Costs --------------------------------------------------------------------------------------

    def cost(self, config: Config) -> Cost:
        """What a configuration costs, predicted: memory of a step, operations of a training."""
        return self._cost(method_of(config), int(config.get("batch", MICRO_BATCH)))

    def _cost(self, choice: MethodChoice, batch: int) -> Cost:
        if self._costs is None:
            vocabulary = int(self.backbone.tokenizer.vocab_size)
            self._costs = CostModel(self.backbone.model, vocabulary=vocabulary)
        knobs = {k: v for k, v in choice.knobs.items() if k not in ("dropout", "regularisation")}
        tokens = self.prepared(0).tokens["train"]
        longest = max(map(len, tokens.rows))
        mean = sum(map(len, tokens.rows)) / len(tokens)
        where = {"layer_lo": choice.layer_lo, "batch": min(batch, MICRO_BATCH)}
        step = self._costs.predict(choice.method, knobs, **where, length=longest)
        usual = self._costs.predict(choice.method, knobs, **where, length=round(mean))
        steps = self.budget.epochs * len(tokens) / where["batch"]
        if choice.method == "probe":
            steps /= self.budget.epochs  # features are computed once
        return Cost(step.parameters, step.memory, usual.flops * steps)

    def _space(self, methods: Collection[str]) -> Space:
        """The space of the backbone, without what cannot meet the limits."""
        layers = len(describe_architecture(self.backbone.model).layers)
        if not self.limits:
            return peft_space(layers, methods)
        lowest = {m: low for m in methods if (low := self._lowest(m, layers)) is not None}
        if not lowest:
            asked = ", ".join(f"{name}={value:.6g}" for name, value in self.limits.items())
            raise SpaceError(
                f"no method meets the limit {asked} on {self.backbone_name!r}: the probe needs "
                f"{self._in_words(self._cost(_cheapest('probe', 0), MICRO_BATCH))}; allow more"
            )
        return peft_space(layers, tuple(lowest), lowest)

    def _lowest(self, method: str, layers: int) -> int | None:
        """The first layer from which a method, at its cheapest, meets the limits."""
        if method in WHOLE:
            return 0 if self._meets(method, 0) else None
        if not self._meets(method, layers - 1):
            return None
        low, high = 0, layers - 1  # costs fall with the first layer
        while low < high:
            middle = (low + high) // 2
            low, high = (low, middle) if self._meets(method, middle) else (middle + 1, high)
        return low

    def _meets(self, method: str, layer_lo: int) -> bool:
        return exceeded(self._cost(_cheapest(method, layer_lo), MICRO_BATCH), self.limits) is None

    @staticmethod
    def _in_words(cost: Cost) -> str:
        return (
            f"parameters={cost.parameters}, memory={cost.memory / MIB:.3g}MiB, "
            f"flops={cost.flops / 1e9:.3g}G"
        )

    # Training -----------------------------------------------------------------------------------

    def prepared(self, seed: int) -> Prepared:
        """The task's parts as tokens, with the frozen backbone's features; kept for one seed."""
        if seed not in self._prepared:
            self._prepared = {seed: Prepared(self, seed)}
        return self._prepared[seed]

    def _train(self, config: Config, seed: int, report: Report | None) -> Trained:
        if self.limits:
            cost = self.cost(config)
            reason = exceeded(cost, self.limits)
            if reason is not None:
                raise EvaluationError(f"not trained: {reason}")
        prepared = self.prepared(seed)
        parts = {part: (prepared.tokens[part], part) for part in PARTS}
        return self._train_on(config, seed, parts, report)

    def _train_on_both(self, config: Config, seed: int) -> Trained:
        texts = self.task.parts(seed, self.budget.examples)
        both = Tokens.of(texts["train"] + texts["validation"], self.backbone, self.budget.length)
        parts = {"train": (both, ""), "test": (self.prepared(seed).tokens["test"], "test")}
        return self._train_on(config, seed, parts, None)

    def _train_on(
        self,
        config: Config,
        seed: int,
        parts: dict[str, tuple[Tokens, str]],
        report: Report | None,
    ) -> Trained:
        choice = method_of(config)
        backbone = self._copy()
        handle = attach(backbone.model, choice.method, layer_lo=choice.layer_lo, **choice.knobs)
        handle.own.to(self.device)
        handle.readout.to(self.device)
        network = TunedNetwork(
            backbone, handle, len(self.task.classes), float(config.get("head_dropout", 0.0))
        )
        network.head.to(self.device)
        prepared = self.prepared(seed)
        tokens, key = parts["train"]
        if config.get("head_init", "probe") == "probe":
            regularisation = choice.knobs.get("regularisation", REGULARISATION)
            network.start_head(*prepared.probe(tokens, key, regularisation))
        kept = {part: prepared.states(handle, *named) for part, named in parts.items()}
        if choice.method == "probe":
            training = Training(1, 1, 0.0, 0)
            if report is not None:
                report(self.budget.epochs, score(network, parts["validation"][0])[0])
        else:
            training = self._run(network, config, choice, seed, parts, kept, report)

        def scores() -> dict[str, float]:
            found: dict[str, float] = {}
            for part, (rows, _) in parts.items():
                accuracy, loss = score(network, rows, kept[part])
                found |= {f"{part}_accuracy": accuracy, f"{part}_loss": loss}
            cost = self.cost(config)
            return found | {
                "trainable_parameters": float(cost.parameters),
                "activation_bytes": cost.memory,
                "training_flops": cost.flops,
            }

        one = tokens.inputs([0], backbone, self.device)
        return Trained(network, training, scores, lambda: network(one))

    def _run(
        self,
        network: TunedNetwork,
        config: Config,
        choice: MethodChoice,
        seed: int,
        parts: dict[str, tuple[Tokens, str]],
        kept: dict[str, FrozenStates | None],
        report: Report | None,
    ) -> Training:
        settings = Settings(
            learning_rate=choice.learning_rate,
            head_rate=float(config["head_rate"]),
            weight_decay=float(config["weight_decay"]),
            batch=int(config["batch"]),
            epochs=self.budget.epochs,
        )

        def validate() -> float:
            return score(network, parts["validation"][0], kept["validation"])[0]

        return train(
            network,
            parts["train"][0],
            settings,
            seed=seed,
            kept=kept["train"],
            validate=validate,
            report=report,
        )

    def _copy(self) -> Backbone:
        """A backbone for one training: what a method leaves behind is nobody else's."""
        found = self.backbone
        model = copy.deepcopy(found.model).to(self.device)
        return Backbone(found.name, model, found.tokenizer)

    def _model(
        self,
        network: nn.Module,
        metrics: dict[str, float],
        config: Config,
        seed: int,
        train_on_validation: bool,
    ) -> TextModel:
        assert isinstance(network, TunedNetwork)
        facts = TextFacts(
            config=config,
            backbone=self.backbone_name,
            classes=self.task.classes,
            pairs=self.task.pairs,
            length=self.budget.length,
            task={"name": self.task.name, **self.task.describe()},
            seed=seed,
            train_on_validation=train_on_validation,
        )
        return TextModel(network, facts, metrics)


class Prepared:
    """A task's parts for one seed: tokens, and what the frozen backbone says of them, once.

    Args:
        evaluator: Whose task and backbone.
        seed: Draws the split.
    """

    def __init__(self, evaluator: TextEvaluator, seed: int) -> None:
        self.backbone = evaluator.backbone
        self.classes = len(evaluator.task.classes)
        self.device = evaluator.device
        texts = evaluator.task.parts(seed, evaluator.budget.examples)
        self.tokens = {
            part: Tokens.of(texts[part], self.backbone, evaluator.budget.length) for part in PARTS
        }
        self._features: dict[str, torch.Tensor] = {}
        self._states: dict[str, FrozenStates | None] = {}

    def probe(
        self, tokens: Tokens, key: str, regularisation: float
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """A probe's weight and bias; features are kept where the texts have a key."""
        features = self._features.get(key)
        if features is None:
            handle = attach(self.backbone.model.to(self.device), "probe")
            features = pooled_features(handle, tokens, self.backbone)
            handle.remove()
            if key:
                self._features[key] = features
        return solve_probe(features, tokens.labels, self.classes, regularisation)

    def states(self, handle: Handle, tokens: Tokens, key: str) -> FrozenStates | None:
        """The kept states, where a method reads nothing else and they fit."""
        arch = handle.site.arch
        if not (handle.readout.needs_states and handle.leaves_backbone):
            return None
        if not FrozenStates.fits(tokens, len(arch.layers), arch.width):
            return None
        if not key or key not in self._states:
            found = FrozenStates(handle, tokens, self.backbone)
            if not key:
                return found
            self._states[key] = found
        return self._states[key]


def _cheapest(method: str, layer_lo: int) -> MethodChoice:
    assert method in KNOBS
    return MethodChoice(method, smallest(method), layer_lo, 0.0)
