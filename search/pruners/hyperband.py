"""Hyperband and the median rule on slots, so that a resumed study prunes as an undisturbed one."""

from __future__ import annotations

from typing import cast

import optuna
from optuna.pruners import MedianPruner
from optuna.trial import FrozenTrial, TrialState

from ..execution.slots import SlotStudy, slots
from ..optuna_backend import StableHyperband, study_like


def is_worth_pruning(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether a complete trial went beyond this one's step: the last step saves nothing."""
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    step = trial.last_step
    return step is not None and any((other.last_step or 0) > step for other in complete)


class SlotMedianPruner(MedianPruner):
    """Optuna's median rule, except at the last step of a training."""

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return is_worth_pruning(study, trial) and super().prune(study, trial)


class SlotHyperbandPruner(StableHyperband):
    """Hyperband whose bracket depends on the slot; Optuna's depends on study name and number.

    Source: Li et al., *Hyperband*, JMLR 2018.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return is_worth_pruning(study, trial) and super().prune(study, trial)

    def bracket_of(self, slot: int) -> int:
        """Brackets take turns in proportion to their budgets."""
        budgets = self.bracket_budgets
        if not budgets:
            return 0
        place = slot % sum(budgets)
        for bracket, budget in enumerate(budgets):
            place -= budget
            if place < 0:
                return bracket
        raise AssertionError("the budgets add up to their total")

    def bracket_of_trial(self, study: optuna.Study, trial: FrozenTrial) -> int:
        assert isinstance(study, SlotStudy)
        return self.bracket_of(study.slot_of(trial))

    def bracket_view(self, study: optuna.Study, bracket: int) -> optuna.Study:
        assert isinstance(study, SlotStudy)
        view = cast(_BracketStudy, study_like(_BracketStudy, study, self))
        view.whole, view.bracket = study, bracket
        return view

    def resource(self, study: optuna.Study) -> int | None:
        # Optuna takes the longest curve so far, which differs on a resume: the first complete trial
        # stays the same.
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        last_steps = (trial.last_step for trial in complete)
        first = next((step for step in last_steps if step is not None), None)
        return None if first is None else first + 1


class _BracketStudy(SlotStudy):
    """The part of a study that one Hyperband bracket sees."""

    whole: SlotStudy
    bracket: int

    def stop(self) -> None:
        self.whole.stop()

    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        pruner = self.pruner
        assert isinstance(pruner, SlotHyperbandPruner)
        slot_of_number = slots(self.all_trials())
        return [
            trial
            for trial in super().visible(trials)
            if pruner.bracket_of(slot_of_number.get(trial.number, trial.number)) == self.bracket
        ]
