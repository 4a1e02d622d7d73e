"""Measure a fine-tuning configuration on a task of texts; train and keep the winner."""

from __future__ import annotations

import copy
import gc
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import nn

from ...errors import EvaluationError, unknown_name
from ...spaces import Config, Space
from ...spaces.peft import USUAL, MethodChoice, method_of, peft_space
from ..peft.arch import describe_architecture
from ..peft.cost import LIMITED, Cost, exceeded
from ..peft.registry import attach
from ..running import Training
from ..task import Outcome, Report
from ..training_evaluator import Trained, TrainingEvaluator
from .backbones import MINILM, Backbone, load_backbone
from .batches import FrozenStates, Tokens
from .costs import TextCosts
from .fingerprint import text_statistics
from .model import TextFacts, TextModel
from .network import REGULARISATION, TunedNetwork
from .prepared import PARTS, Prepared
from .tasks import TextClassification
from .training import MICRO_BATCH, Settings, TextBudget, score, train

STATISTICS = "text-statistics"
"""The kind of fingerprint."""


class TextEvaluator(TrainingEvaluator[TextModel]):
    """Puts the configured method on a pre-trained backbone, trains it, and measures it.

    The objective is the accuracy on the validation part after the last epoch; the test part decides
    nothing: a trial is tested on as many texts as it learned from, a model that is kept on all. On
    a CPU the outcome is a pure function of (configuration, seed).

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
        self._costs: TextCosts | None = None
        super().__init__(task, space or peft_space(), device)
        self.task: TextClassification = task
        if space is None:
            layers = len(describe_architecture(self.backbone.model).layers)
            self.space = peft_space(layers, methods)
            if self.limits:
                self.space = self.costs.space_within(self.limits, methods, layers)

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        """Train and measure, see `TrainingEvaluator`."""
        try:
            return super().__call__(config, seed=seed, report=report)
        finally:
            # Hooks and the copied backbone hold each other: it must not wait for the collector.
            gc.collect()

    def __getstate__(self) -> dict[str, Any]:
        """What worker processes get: backbone, features and costs are made anew there."""
        return {**self.__dict__, "_backbone": None, "_prepared": {}, "_costs": None}

    @property
    def backbone(self) -> Backbone:
        """The backbone, untouched; each training works on a copy."""
        if self._backbone is None:
            self._backbone = load_backbone(self.backbone_name)
        return self._backbone

    def fingerprints(self) -> dict[str, Sequence[float]]:
        """What the frozen backbone says of the task (see `text_statistics`)."""
        prepared = self.prepared(0)
        tokens = prepared.tokens["train"]
        features = prepared.features(tokens, "train")
        return {STATISTICS: list(text_statistics(tokens, features, prepared.classes).values())}

    # Costs --------------------------------------------------------------------------------------

    def cost(self, config: Config) -> Cost:
        """What a configuration costs, predicted: memory of a step, operations of a training."""
        return self.costs.of(method_of(config), int(config.get("batch", MICRO_BATCH)))

    @property
    def costs(self) -> TextCosts:
        """Predicts costs on this task's lengths."""
        if self._costs is None:
            tokens = self.prepared(0).tokens["train"]
            self._costs = TextCosts(self.backbone, tokens, self.budget.epochs)
        return self._costs

    # Training -----------------------------------------------------------------------------------

    def prepared(self, seed: int) -> Prepared:
        """The task's parts as tokens, with the frozen backbone's features; kept for one seed."""
        if seed not in self._prepared:
            made = Prepared(self.task, self.backbone, self.budget, seed, self.device)
            self._prepared = {seed: made}
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

        def scored(part: str, rows: Tokens, states: FrozenStates | None) -> dict[str, float]:
            accuracy, loss = score(network, rows, states)
            return {f"{part}_accuracy": accuracy, f"{part}_loss": loss}

        def scores() -> dict[str, float]:
            found: dict[str, float] = {}
            for part, (rows, _) in parts.items():
                if part != "train":
                    found |= scored(part, rows, kept[part])
            cost = self.cost(config)
            return found | {
                "trainable_parameters": float(cost.parameters),
                "activation_bytes": cost.memory,
                "training_flops": cost.flops,
            }

        def thorough() -> dict[str, float]:
            rows = prepared.whole_test
            return scored("train", tokens, kept["train"]) | scored("test", rows, None)

        one = tokens.inputs([0], backbone, self.device)
        return Trained(network, training, scores, lambda: network(one), thorough)

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
            backbone=self.backbone_name,
            classes=self.task.classes,
            pairs=self.task.pairs,
            length=self.budget.length,
            **self._provenance(config, seed, train_on_validation),
        )
        return TextModel(network, facts, metrics)
