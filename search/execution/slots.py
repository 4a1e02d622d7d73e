"""Slots: a trial's place in the sequence, whatever number Optuna gave it.

A worker may die and its trial be tried again under a new number. The *slot* stays, with the
configuration and the evaluation seed, and the lost trial is invisible to samplers and pruners: so
the sequence, slot by slot, is the one that an undisturbed run has.

Slots are derived from the stored trials alone and therefore need no lock: a fresh trial takes the
next slot, a retry names the trial that it replaces.
"""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import optuna
from optuna.pruners import HyperbandPruner
from optuna.trial import FrozenTrial, TrialState

LOST = "bequest:lost"
"""Why a trial did not come to an end: one of the following."""
CRASHED = "crashed"  # its worker died under a living study: retried once
INTERRUPTED = "interrupted"  # the whole run was stopped or killed: given back on resume
VOID = "void"  # two workers claimed the same place: this one stepped back

RETRY_OF = "bequest:retry_of"
OWNER = "bequest:owner"


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial was lost: no sampler, pruner or report shall see it."""
    return LOST in trial.system_attrs


def slots(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """The slot of each trial, by trial number; void trials have none.

    Args:
        trials: All trials of a study, lost ones included, ordered by number.
    """
    found: dict[int, int] = {}
    fresh = 0
    for trial in trials:
        if trial.system_attrs.get(LOST) == VOID:
            continue
        first = trial.system_attrs.get(RETRY_OF)
        if first is None:
            found[trial.number] = fresh
            fresh += 1
        elif first in found:
            found[trial.number] = found[first]
    return found


def by_slot(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The trial that stands in each slot: the latest one, lost only where nothing replaced it."""
    current: dict[int, FrozenTrial] = {}
    of = slots(trials)
    for trial in trials:
        slot = of.get(trial.number)
        if slot is not None and (slot not in current or is_lost(current[slot])):
            current[slot] = trial
    return [current[slot] for slot in sorted(current)]


class SlotStudy(optuna.Study):
    """An Optuna study in which lost trials cannot be seen and every trial knows its slot."""

    _claimed: Mapping[int, int] = MappingProxyType({})

    ends = False
    """Whether the sampler has said that there is nothing more to try."""

    def stop(self) -> None:
        """End the run after this trial; samplers call it that go through a finite list."""
        self.ends = True

    def all_trials(self) -> list[FrozenTrial]:
        """All trials, lost ones included, ordered by number. Not to be changed."""
        return self._storage.get_all_trials(self._study_id, deepcopy=False)

    def refresh(self) -> None:
        """Forget the trials that Optuna keeps from `ask` to `tell`, which are not called here."""
        self._thread_local.cached_all_trials = None

    def learn_slot(self, number: int, slot: int) -> None:
        """Remember the slot of a trial that was just claimed: it never changes."""
        self._claimed = {number: slot}

    def slot_of(self, trial: FrozenTrial) -> int:
        """The trial's place in the sequence."""
        if trial.number in self._claimed:
            return self._claimed[trial.number]
        return slots(self.all_trials()).get(trial.number, trial.number)

    def _get_trials(
        self,
        deepcopy: bool = True,
        states: Container[TrialState] | None = None,
        use_cache: bool = False,
    ) -> list[FrozenTrial]:
        trials = super()._get_trials(deepcopy=deepcopy, states=states, use_cache=use_cache)
        return [trial for trial in trials if not is_lost(trial)]

    def get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None
    ) -> list[FrozenTrial]:
        return self._get_trials(deepcopy=deepcopy, states=states)


class _BracketStudy(SlotStudy):
    """The part of a study that one Hyperband bracket sees."""

    def __init__(self, study: SlotStudy, pruner: SlotHyperbandPruner, bracket: int) -> None:
        super().__init__(study.study_name, study._storage, study.sampler, pruner)
        self._bracket = bracket
        self._whole = study

    def stop(self) -> None:
        self._whole.stop()

    def _get_trials(self, *args: Any, **kwargs: Any) -> list[FrozenTrial]:
        pruner = self.pruner
        assert isinstance(pruner, SlotHyperbandPruner)
        of = slots(self.all_trials())
        return [
            trial
            for trial in super()._get_trials(*args, **kwargs)
            if pruner.bracket_of(of.get(trial.number, trial.number)) == self._bracket
        ]


def goes_on(study: optuna.Study, trial: FrozenTrial) -> bool:
    """Whether some complete trial went beyond this one's step: what is over is not pruned."""
    done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    step = trial.last_step
    return step is not None and any((other.last_step or 0) > step for other in done)


class SlotHyperbandPruner(HyperbandPruner):
    """Hyperband whose bracket hangs on the slot; Optuna's hangs on study name and trial number.

    Source: Li et al., *Hyperband*, JMLR 2018.
    """

    def prune(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        return goes_on(study, trial) and super().prune(study, trial)

    def bracket_of(self, slot: int) -> int:
        """Brackets take turns in proportion to their budgets."""
        if not self._pruners:
            return 0
        place = slot % self._total_trial_allocation_budget
        for bracket, budget in enumerate(self._trial_allocation_budgets):
            place -= budget
            if place < 0:
                return bracket
        raise AssertionError("the budgets add up to their total")

    def _try_initialization(self, study: optuna.Study) -> None:
        # Optuna takes the longest curve so far, which on a resume is another one: the first
        # complete trial stays the same.
        if self._max_resource == "auto":
            done = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            first = next((t.last_step for t in done if t.last_step is not None), None)
            if first is None:
                return
            self._max_resource = first + 1
        super()._try_initialization(study)

    def _get_bracket_id(self, study: optuna.Study, trial: FrozenTrial) -> int:
        assert isinstance(study, SlotStudy)
        return self.bracket_of(study.slot_of(trial))

    def _create_bracket_study(self, study: optuna.Study, bracket_id: int) -> optuna.Study:
        assert isinstance(study, SlotStudy)
        return _BracketStudy(study, self, bracket_id)
