"""The first stage of a once-for-all search: measure, learn, transfer, evolve, with checkpoints.

Source: Wang et al., *APQ*, CVPR 2020. The once-for-all network, its cuts and the fine-tuned
networks are kept in files beside each other in the Bequest home, so that a search that was stopped
measures nothing twice, and another one with other limits only what it chooses itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ....evaluators.once_for_all.evaluator import ElasticEvaluator
from ....evaluators.once_for_all.training import ProgressiveShrinking
from ....spaces import Config
from ....spaces.elastic_genes import Networks
from .active_learning import BATCH, SHORT, grow_actively, least_known
from .collection import Collection, random_network
from .evolution import Evolution
from .predictor import Predictor, Samples, pairwise_accuracy
from .settings import OnceForAllSettings

EVERY = 5
"""Every fifth sample is left out to judge the predictor, before it learns that one, too."""

Note = Callable[[dict[str, Any]], object]
"""Stores the findings so far."""


@dataclass(frozen=True)
class Candidate:
    """A network that may become a trial.

    Attributes:
        config: A point of the space.
        accuracy, spread: As predicted.
        costs: By name.
        targets: The limits, each a set by name, that it was the best for; empty for others of the
            front.
    """

    config: Config
    accuracy: float
    spread: float
    costs: dict[str, float]
    targets: list[dict[str, float]]


class CompressionSearch:
    """One once-for-all search.

    Args:
        evaluator: It brings task, once-for-all network and costs.
        settings: What is asked.
        seed: The study's.
        earlier: What other tasks' networks had in float32, for a predictor that does not start from
            nothing.

    Attributes:
        predictor: It learns from all below.
        floats: Networks as they were cut, in float32.
        drawn, chosen: Fine-tuned networks: random ones, which serve all searches of this task and
            seed, and those that the predictor chose for these limits.
    """

    def __init__(
        self,
        evaluator: ElasticEvaluator,
        settings: OnceForAllSettings,
        *,
        seed: int,
        earlier: Sequence[Samples] = (),
    ) -> None:
        self.evaluator = evaluator
        self.settings = settings
        self.seed = seed
        self.earlier = earlier
        self.geometry = evaluator.geometry
        self.predictor = Predictor(self.geometry, settings.fitting, seed=seed)
        base = evaluator.checkpoint(seed).with_suffix("")
        tuning = _digest(asdict(evaluator.budget.fine_tuning))
        self.floats = Collection(
            base.with_name(f"{base.name}-cut-{evaluator.budget.judging}.jsonl"),
            self.geometry,
            lambda networks, row: evaluator.cut_accuracy(networks, row, seed),
        )
        self.drawn = self.tuned(base.with_name(f"{base.name}-tuned-{tuning}.jsonl"))
        self.chosen = self.tuned(self.drawn.path.with_suffix(f".{self._choice()}.jsonl"))

    def tuned(self, path: Path) -> Collection:
        """A collection of fine-tuned networks in a file."""
        return Collection(
            path,
            self.geometry,
            lambda networks, row: self.evaluator.tuned_accuracy(networks, row, self.seed),
        )

    def _choice(self) -> str:
        """A name for all that decides which networks the predictor chooses."""
        settings = {k: v for k, v in self.settings.described().items() if k != "candidates"}
        limits = sorted(str(limit) for limit in self.settings.limits)
        told = [[*map(bytes.hex, s.networks.keys()), *s.accuracies.tolist()] for s in self.earlier]
        return _digest([settings, limits, self.evaluator.conditions, *told])

    def run(self, note: Note) -> dict[str, Any]:
        """Run what is missing, and return the findings.

        Raises:
            EvaluationError: A training diverged.
            StudyError: A limit leaves no network.
        """
        findings: dict[str, Any] = {"method": self.settings.method, **self._asked()}

        def tell(**more: Any) -> None:
            findings.update(more)
            note(findings)

        def trained(training: ProgressiveShrinking) -> None:
            tell(epochs=[asdict(epoch) for epoch in training.epochs])

        self.evaluator.once_for_all(self.seed, trained)
        quality = self.learn_floats(lambda count: None if count % 20 else tell(floats=count))
        tell(floats=self.settings.floats, predictor=quality)
        quality |= self.learn_bits(lambda count: tell(quantised=count))
        tell(quantised=self.settings.quantised, predictor=quality)
        evolution = self.evolution(self.settings.evolving.rounds)
        evolution.run()
        candidates = self.candidates(evolution)
        tell(
            candidates=[asdict(candidate) for candidate in candidates],
            front=self._front(evolution),
            calls=evolution.calls,
            feasible=evolution.repaired[1] / max(1, evolution.repaired[0]),
        )
        return findings

    def _asked(self) -> dict[str, Any]:
        return {
            "limits": [str(limit) for limit in self.settings.limits],
            "settings": self.settings.described(),
            "planned": {
                "epochs": sum(self.evaluator.budget.shrinking.epochs),
                "floats": self.settings.floats,
                "quantised": self.settings.quantised,
            },
        }

    @property
    def drawn_count(self) -> int:
        """So many of the fine-tuned networks are drawn at random, before the predictor chooses."""
        return max(BATCH, round((1 - self.settings.active) * self.settings.quantised))

    # Learning -----------------------------------------------------------------------------------

    def learn_floats(self, after_each: Callable[[int], object] = lambda _: None) -> dict[str, Any]:
        """Measure cuts and learn them; the quality is that on samples not yet learned."""
        count = self.settings.floats
        draw = random_network(self.geometry, self.seed)
        samples = self.floats.grow(count, draw, after_each)
        for others in self.earlier:
            self.predictor.fit(others)
        learned_rows = np.arange(len(samples)) % EVERY > 0
        self.predictor.fit(samples[learned_rows])
        quality = self._quality(samples[~learned_rows], "floats")
        self.predictor.fit(samples)
        return quality

    def learn_bits(self, after_each: Callable[[int], object] = lambda _: None) -> dict[str, Any]:
        """Measure fine-tuned networks, some chosen by the predictor; learn them from floats."""
        learned = self.predictor.knowledge
        draw = random_network(self.geometry, self.seed + 1)
        drawn = self.drawn.grow(self.drawn_count, draw, after_each)

        def choose(samples: Samples, number: int) -> Networks:
            self.predictor.restore(learned).transfer(samples)
            rng = np.random.default_rng([self.seed, 2, number])
            return least_known(self.evolution(SHORT), self.predictor, samples, rng)

        wanted = self.settings.quantised - self.drawn_count
        samples = grow_actively(self.chosen, wanted, drawn, choose, after_each)
        learned_rows = np.arange(len(samples)) % EVERY > 0
        self.predictor.restore(learned).transfer(samples[learned_rows])
        quality = self._quality(samples[~learned_rows], "quantised")
        self.predictor.restore(learned).transfer(samples)
        return quality

    def _quality(self, samples: Samples, name: str) -> dict[str, Any]:
        said, spread = self.predictor.predict(samples.networks)
        return {
            f"{name}_pairwise": pairwise_accuracy(said.tolist(), samples.accuracies.tolist()),
            f"{name}_error": float(np.abs(said - samples.accuracies).mean()),
            f"{name}_spread": float(spread.mean()),
            f"{name}_said": said.tolist(),
            f"{name}_true": samples.accuracies.tolist(),
        }

    # Searching ----------------------------------------------------------------------------------

    def evolution(self, rounds: int) -> Evolution:
        """A search of the front by what the predictor knows now; not run yet."""
        settings = replace(self.settings.evolving, rounds=rounds)
        limits = self.settings.limits
        return Evolution(self.evaluator.costs, self.score, limits, settings, seed=self.seed)

    def score(self, networks: Networks) -> np.ndarray:
        """How good networks surely are ``[n]``, by what the predictor knows now."""
        accuracy, spread = self.predictor.predict(networks)
        return np.asarray(accuracy - self.settings.caution * spread)

    def candidates(self, evolution: Evolution) -> list[Candidate]:
        """The best of each target first, then their runners-up by turns, then the rest."""
        archive, count = evolution.archive, self.settings.candidates
        assert archive.networks is not None
        asked = evolution.asked or [{}]
        ranks = [
            archive.within(np.array([target.get(n, np.inf) for n in evolution.archived]))
            for target in asked
        ]
        order: dict[int, list[dict[str, float]]] = {}
        for rank_index in range(max(len(rank) for rank in ranks)):
            for target, rank in zip(asked, ranks, strict=True):
                if rank_index < len(rank):
                    best_for = order.setdefault(int(rank[rank_index]), [])
                    best_for += [target] if target and not rank_index else []
        rows = list(order)[:count]
        networks = archive.networks[rows]
        accuracy, spread = self.predictor.predict(networks)
        costs = self.evaluator.costs(networks)
        return [
            Candidate(
                config,
                float(accuracy[i]),
                float(spread[i]),
                dict(zip(self.evaluator.costs.names, costs[i].tolist(), strict=True)),
                order[rows[i]],
            )
            for i, config in enumerate(networks.configs())
        ]

    def _front(self, evolution: Evolution) -> dict[str, Any]:
        """Predicted accuracies and costs of the whole front, to be drawn."""
        losses = evolution.archive.losses
        names = ("accuracy", *evolution.archived)
        columns = np.column_stack([-losses[:, 0], losses[:, 1:]])
        return {name: columns[:, k].round(6).tolist() for k, name in enumerate(names)}


def _digest(facts: Any) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:8]
