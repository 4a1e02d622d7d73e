"""Slots: a trial's place in the sequence, whatever number Optuna gave it.

A worker may die, and its trial is tried again under a new number. The *slot* stays, with the
configuration and the evaluation seed, and the lost trial is invisible to samplers and pruners: slot
by slot, the sequence is the one that an undisturbed run has.

Slots are derived from the stored trials alone and therefore need no lock: a fresh trial takes the
next slot, a retry names the trial that it replaces.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from optuna.trial import FrozenTrial

from ..optuna_backend import FilteredStudy, forget_cached_trials

LOST = "bequest:lost"
"""The trial attribute that says why a trial did not come to an end: one of the following."""
CRASHED = "crashed"  # its worker died while the study went on: retried once
INTERRUPTED = "interrupted"  # the whole run was stopped or killed: tried again on resume
VOID = "void"  # two workers claimed the same slot: this one stepped back

RETRY_OF = "bequest:retry_of"
"""The trial attribute that holds the number of the first trial of a retried slot."""

OWNER = "bequest:owner"
"""The trial attribute that identifies the process that runs a trial (see `ownership`)."""


def is_lost(trial: FrozenTrial) -> bool:
    """Whether a trial was lost, so that no sampler, pruner or report may see it."""
    return LOST in trial.system_attrs


def slots(trials: Sequence[FrozenTrial]) -> dict[int, int]:
    """The slot of each trial, by trial number; void trials have none.

    Args:
        trials: All trials of a study, lost ones included, ordered by number.
    """
    slot_of_number: dict[int, int] = {}
    fresh = 0
    for trial in trials:
        if trial.system_attrs.get(LOST) == VOID:
            continue
        first = trial.system_attrs.get(RETRY_OF)
        if first is None:
            slot_of_number[trial.number] = fresh
            fresh += 1
        elif first in slot_of_number:
            slot_of_number[trial.number] = slot_of_number[first]
    return slot_of_number


def by_slot(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """The latest trial of each slot, in the order of the slots; lost only if not yet retried."""
    current: dict[int, FrozenTrial] = {}
    slot_of_number = slots(trials)
    for trial in trials:
        slot = slot_of_number.get(trial.number)
        if slot is not None and (slot not in current or is_lost(current[slot])):
            current[slot] = trial
    return [current[slot] for slot in sorted(current)]


class SlotStudy(FilteredStudy):
    """An Optuna study in which lost trials cannot be seen and every trial knows its slot."""

    _claimed: Mapping[int, int] = MappingProxyType({})

    ends = False
    """Whether the sampler has nothing more to try."""

    def visible(self, trials: list[FrozenTrial]) -> list[FrozenTrial]:
        return [trial for trial in trials if not is_lost(trial)]

    def stop(self) -> None:
        """End the run after this trial; samplers that go through a finite list call it."""
        self.ends = True

    def refresh(self) -> None:
        """Forget the trials that Optuna keeps from `ask` to `tell`, which are not called here."""
        forget_cached_trials(self)

    def learn_slot(self, number: int, slot: int) -> None:
        """Remember the slot of a trial that was just claimed: it never changes."""
        self._claimed = {number: slot}

    def slot_of(self, trial: FrozenTrial) -> int:
        """The trial's place in the sequence."""
        if trial.number in self._claimed:
            return self._claimed[trial.number]
        return slots(self.all_trials()).get(trial.number, trial.number)
