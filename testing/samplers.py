"""What every sampler must do: a test of yours subclasses `SamplerConformance`.

Example:
    >>> from bequest.search.samplers.random import RandomSampler
    >>> class TestMine(SamplerConformance):
    ...     def make(self, space, seed=3):
    ...         return RandomSampler(space, seed=seed)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler
from optuna.trial import TrialState

from ..search.samplers import make_sampler
from ..spaces import Condition, Config, Parameter, Space

optuna.logging.set_verbosity(optuna.logging.ERROR)

Objective = Callable[[Config], float]

CONDITIONAL = Space(
    "conditional",
    [
        Parameter("layer", CategoricalDistribution(["gcn", "gat", "none"])),
        Parameter("heads", IntDistribution(1, 8), Condition("layer", ("gat",))),
        Parameter("dropout", FloatDistribution(0, 0.9), Condition("layer", ("gcn", "gat"))),
        Parameter("rate", FloatDistribution(1e-4, 1e-1, log=True)),
        Parameter("fixed", CategoricalDistribution(["only"])),
    ],
    default={"layer": "gcn", "dropout": 0.5, "rate": 0.01, "fixed": "only"},
)
FINITE = Space(
    "finite",
    [
        Parameter("a", CategoricalDistribution(["x", "y", "z"])),
        Parameter("b", IntDistribution(1, 3), Condition("a", ("x", "y"))),
        Parameter("c", FloatDistribution(0, 1, step=0.5)),
    ],
)
"""21 configurations."""


def score(config: Config) -> float:
    """Smooth where it is numeric; ``gat`` with four heads is best."""
    value = -abs(float(config.get("rate", 0.01)) - 0.02) - float(config.get("dropout", 0.3)) / 10
    value += {"gat": 0.5, "gcn": 0.3, "x": 0.2, "y": 0.4}.get(
        str(config.get("layer", config.get("a"))), 0.0
    )
    return value - 0.02 * abs(int(config.get("heads", config.get("b", 4))) - 4)


def run(
    sampler: BaseSampler,
    space: Space,
    trials: int,
    *,
    objective: Objective = score,
    study: optuna.Study | None = None,
    direction: Literal["minimize", "maximize"] = "maximize",
) -> optuna.Study:
    """Run some (more) trials; an objective may raise to fail or prune one."""
    study = study or optuna.create_study(direction=direction)
    study.sampler = sampler
    for _ in range(trials):
        trial = study.ask()
        config = space.validate(space.suggest(trial))
        try:
            study.tell(trial, objective(config))
        except optuna.TrialPruned:
            trial.report(score(config), 0)
            study.tell(trial, state=TrialState.PRUNED)
        except RuntimeError:
            study.tell(trial, state=TrialState.FAIL)
    return study


def sequence(study: optuna.Study) -> list[dict[str, Any]]:
    """The configurations in the order of their slots."""
    return [trial.params for trial in study.trials]


def distinct(study: optuna.Study) -> int:
    """How many different configurations a study tried."""
    return len({tuple(sorted(params.items())) for params in sequence(study)})


class SamplerConformance:
    """Subclass it, and set ``name`` or override `make`.

    Attributes:
        name: The sampler's name in the registry.
        never_repeats: Whether it promises new configurations while a finite space has any.
        trials: The length of a sequence: enough for the sampler to have left its start.
        uses_bank: Whether it starts from a bank's tasks: then it needs a space, and its first
            trials are the bank's best, whatever the seed.
    """

    name: str
    never_repeats = False
    trials = 14
    uses_bank = False

    def make(self, space: Space, seed: int = 3) -> BaseSampler:
        """The sampler for a space."""
        return make_sampler(self.name, space, seed)

    @pytest.fixture(scope="class")
    def whole(self) -> optuna.Study:
        """An undisturbed study of the conditional space."""
        return run(self.make(CONDITIONAL), CONDITIONAL, self.trials)

    def test_same_seed_same_sequence(self, whole: optuna.Study) -> None:
        again = run(self.make(CONDITIONAL), CONDITIONAL, self.trials)
        assert sequence(again) == sequence(whole)

    def test_other_seed_other_sequence(self, whole: optuna.Study) -> None:
        count = self.trials if self.uses_bank else 4
        other = run(self.make(CONDITIONAL, seed=4), CONDITIONAL, count)
        assert sequence(other)[1:] != sequence(whole)[1:count]

    @pytest.mark.parametrize("cut", [1, 6, 11])
    def test_a_fresh_sampler_continues_as_the_old_one(self, whole: optuna.Study, cut: int) -> None:
        study = run(self.make(CONDITIONAL), CONDITIONAL, cut)
        run(self.make(CONDITIONAL), CONDITIONAL, self.trials - cut, study=study)
        assert sequence(study) == sequence(whole)

    def test_a_used_sampler_begins_a_second_study_like_a_fresh_one(
        self, whole: optuna.Study
    ) -> None:
        sampler = self.make(CONDITIONAL)
        run(sampler, CONDITIONAL, 7, objective=lambda config: float(config["rate"]))
        assert sequence(run(sampler, CONDITIONAL, self.trials)) == sequence(whole)

    def test_minimising_mirrors_maximising(self, whole: optuna.Study) -> None:
        mirrored = run(
            self.make(CONDITIONAL),
            CONDITIONAL,
            self.trials,
            objective=lambda config: -score(config),
            direction="minimize",
        )
        assert sequence(mirrored) == sequence(whole)

    def test_pending_trials_are_respected(self) -> None:
        study = run(self.make(FINITE), FINITE, 9)
        before = distinct(study)
        configs = [FINITE.validate(FINITE.suggest(study.ask())) for _ in range(4)]
        assert len(study.trials) == 13
        # Nothing has ended since, but the slots are others: not one proposal four times.
        assert len({tuple(sorted(config.items())) for config in configs}) > 1
        if self.never_repeats:
            assert distinct(study) == before + len(configs)

    def test_a_finite_space_may_be_exhausted(self) -> None:
        assert FINITE.size == 21
        study = run(self.make(FINITE), FINITE, 23)
        assert len(study.trials) == 23
        if self.never_repeats:
            assert distinct(study) == 21

    def test_failed_trials(self) -> None:
        def fails(config: Config) -> float:
            if config["a"] == "y":
                raise RuntimeError("does not fit into memory")
            return score(config)

        study = run(self.make(FINITE), FINITE, 18, objective=fails)
        failed = [t.params for t in study.trials if t.state == TrialState.FAIL]
        assert failed
        if self.never_repeats:
            assert distinct(study) == 18

    def test_nothing_but_failures(self) -> None:
        def fails(config: Config) -> float:
            raise RuntimeError("always")

        study = run(self.make(CONDITIONAL), CONDITIONAL, 12, objective=fails)
        assert all(trial.state == TrialState.FAIL for trial in study.trials)

    def test_pruned_trials(self) -> None:
        def prunes(config: Config) -> float:
            if config["layer"] == "gcn":
                raise optuna.TrialPruned
            return score(config)

        study = run(self.make(CONDITIONAL), CONDITIONAL, self.trials, objective=prunes)
        assert len(study.trials) == self.trials

    def test_pruned_before_any_report(self) -> None:
        study = optuna.create_study(sampler=self.make(CONDITIONAL))
        for _ in range(8):
            trial = study.ask()
            CONDITIONAL.validate(CONDITIONAL.suggest(trial))
            study.tell(trial, state=TrialState.PRUNED)
        run(self.make(CONDITIONAL), CONDITIONAL, 2, study=study, direction="minimize")
        assert len(study.trials) == 10

    @pytest.mark.parametrize("values", [(0.0, 0.0), (1e300, -1e300), (1e-12, 0.0)])
    def test_awkward_values(self, values: tuple[float, float]) -> None:
        study = run(
            self.make(CONDITIONAL),
            CONDITIONAL,
            9,
            objective=lambda config: values[config["layer"] == "gcn"],
        )
        assert len(study.trials) == 9

    def test_works_in_anybodys_study_without_a_space(self) -> None:
        if self.uses_bank:
            pytest.skip("a bank's tasks speak of one space")

        def objective(trial: optuna.Trial) -> float:
            x = trial.suggest_float("x", -2, 2)
            kind = trial.suggest_categorical("kind", ["a", "b"])
            late = trial.suggest_int("late", 1, 5) if kind == "a" else 0
            return (x - 1) ** 2 + late

        kind = type(self.make(CONDITIONAL))
        studies = []
        for _ in range(2):
            study = optuna.create_study(sampler=kind(seed=1))  # type: ignore[call-arg]
            study.optimize(objective, n_trials=10)
            studies.append(sequence(study))
        assert studies[0] == studies[1]

    def test_trials_of_another_space_do_no_harm(self) -> None:
        study = optuna.create_study(direction="maximize")
        study.enqueue_trial({"other": 1.0})
        trial = study.ask()
        study.tell(trial, trial.suggest_float("other", 0, 1))
        run(self.make(CONDITIONAL), CONDITIONAL, 8, study=study)
        assert len(study.trials) == 9

    def test_enqueued_configurations_come_first(self) -> None:
        study = optuna.create_study(direction="maximize", sampler=self.make(CONDITIONAL))
        wish = {"layer": "gat", "heads": 7, "dropout": 0.1, "rate": 0.003, "fixed": "only"}
        study.enqueue_trial(wish)
        assert CONDITIONAL.suggest(study.ask()) == wish
