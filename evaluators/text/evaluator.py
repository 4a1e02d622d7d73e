"""The evaluator of fine-tuning configurations on texts."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from ...common.errors import ArchitectureError
from ...spaces import Config, Space
from ..budgets import unusual
from ..finetuning.evaluator import TuningEvaluator
from ..finetuning.hub import digest_of
from ..finetuning.network import TunedNetwork
from ..finetuning.prepared import PARTS, Prepared
from ..fitted_model import ModelKind
from ..peft.cost import Cost, CostModel
from ..peft.registry import METHODS
from ..peft.space import method_of, peft_space
from ..training_evaluator import Provenance
from .backbones import MINILM, Backbone, load_backbone
from .fingerprint import text_statistics
from .tasks import TextClassification, Texts
from .text_model import TextFacts, TextKind
from .tokens import Tokens
from .training import TextBudget

STATISTICS = "text-statistics"
"""The kind of fingerprint."""

LONGEST_PROMPT = 64
"""Positions that methods put before a text, at most; they have to have room, too."""

CANDIDATES = 500
"""So many texts of the most characters are looked at for the one of the most tokens."""

RESERVED = 2
"""Positions that some backbones (RoBERTa's) do not use."""


class TextEvaluator(TuningEvaluator[Backbone, Tokens]):
    """Puts the configured method on a pre-trained backbone, trains it, and measures it.

    The objective is the accuracy on the validation part after the last epoch; the test part decides
    nothing: a trial is tested on as many texts as it learned from, a model that is kept on all. On
    a CPU the outcome is a pure function of (configuration, seed).

    Args:
        task: What is predicted.
        backbone: A hub's model, a folder, or ``"minilm"``.
        methods: What is searched, of `searchable` in `bequest.evaluators.peft.space`; by default
            the usual ones that fit the backbone.
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
        ArchitectureError: The backbone is not recognised, or a method does not fit it.

    Example:
        >>> evaluator = TextEvaluator(load_task("trec6"))  # doctest: +SKIP
        >>> evaluator(evaluator.space.default, seed=0).value  # doctest: +SKIP
        0.79
    """

    task: TextClassification
    budget: TextBudget

    def __init__(
        self,
        task: TextClassification,
        *,
        backbone: str = MINILM,
        methods: Collection[str] | None = None,
        space: Space | None = None,
        budget: TextBudget | None = None,
        limits: Mapping[str, float] | None = None,
        device: str | None = None,
    ) -> None:
        self.backbone_name = backbone
        super().__init__(
            task,
            space or peft_space(),
            classes=len(task.classes),
            budget=budget or TextBudget(),
            limits=limits,
            device=device,
        )
        if space is None:
            self.space = self._usual_space(methods)

    @property
    def conditions(self) -> dict[str, Any]:
        """Data that are not public, another backbone, other epochs, examples, length."""
        other = {} if self.task.public else {"data": self.task.digest[:8]}
        other |= {} if self.backbone_name == MINILM else {"backbone": self.backbone.identity}
        return other | unusual(self.budget, TextBudget())

    def fingerprints(self) -> dict[str, Sequence[float]]:
        """The task as the frozen backbone sees it (see `text_statistics`)."""
        prepared = self.prepared(0)
        tokens = prepared.parts["train"]
        features = prepared.features(tokens, "train")
        return {STATISTICS: list(text_statistics(tokens, features, prepared.classes).values())}

    def cost(self, config: Config) -> Cost:
        """See `TuningEvaluator.cost`; a prompt has to have room before the texts."""
        choice = method_of(config)
        counter = METHODS[choice.method].prompt
        prompt = 0 if counter is None else int(choice.knobs[counter])
        if self._positions is not None and prompt + self.length > self._positions:
            raise ArchitectureError(
                f"a prompt of {prompt} positions before texts of {self.length} tokens does not fit "
                f"{self.backbone.name!r}, which has room for {self._positions}: cut the texts "
                "(length of TextBudget), or take a shorter prompt"
            )
        return super().cost(config)

    @property
    def length(self) -> int:
        """Tokens after which texts are cut: the budget's, or what the backbone has room for."""
        if self._positions is None:
            return self.budget.length
        prompt = min(LONGEST_PROMPT, (self._positions + RESERVED) // 2)
        return min(self.budget.length, self._positions - prompt)

    @property
    def _positions(self) -> int | None:
        """How many tokens the backbone has room for; ``None`` where it does not say."""
        positions = getattr(self.backbone.model.config, "max_position_embeddings", None)
        return positions - RESERVED if isinstance(positions, int) else None

    def _load(self) -> Backbone:
        return load_backbone(self.backbone_name)

    def _prepare(self, seed: int) -> Prepared[Tokens]:
        texts = self.task.parts(seed, self.budget.examples)
        parts = {part: self._tokens(texts[part]) for part in PARTS}

        def whole_test() -> Tokens:
            return self._tokens(self.task.parts(seed)["test"])

        return Prepared(parts, whole_test, self.backbone.model, self._classes, self.device)

    def _both(self, seed: int) -> Tokens:
        texts = self.task.parts(seed, self.budget.examples)
        return self._tokens(texts["train"] + texts["validation"])

    def _tokens(self, texts: Texts) -> Tokens:
        return Tokens.of(texts, self.backbone, self.length)

    def _longest(self, examples: Tokens) -> int:
        """Among the many that a seed may draw, those of the most characters are looked at."""
        given = self.task.parts_given
        whole = given["train"] + given["validation"] if "validation" in given else given["train"]
        characters = [len(text) for text in whole.first]
        if whole.second is not None:
            characters = [n + len(text) for n, text in zip(characters, whole.second, strict=True)]
        most = np.argsort(characters)[-CANDIDATES:]
        return max(*self._tokens(whole.at(most)).lengths, *examples.lengths)

    def _cost_model(self) -> CostModel:
        vocabulary = int(self.backbone.tokenizer.vocab_size)
        return CostModel(self.backbone.model, vocabulary=vocabulary)

    def _kind(self, network: nn.Module, origin: Provenance) -> ModelKind:
        assert isinstance(network, TunedNetwork)
        network.model.to("cpu")
        facts = TextFacts(
            backbone=_lasting(self.backbone_name),
            digest=digest_of(self.backbone.model),
            classes=self.task.classes,
            pairs=self.task.pairs,
            length=self.length,
            **vars(origin),
        )
        return TextKind(facts, replace(self.backbone, model=network.model))


def _lasting(backbone: str) -> str:
    """A backbone's name that means the same from every working directory."""
    return str(Path(backbone).resolve()) if Path(backbone).is_dir() else backbone
