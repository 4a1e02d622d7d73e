"""What the store says of a study: written when it is new, compared when it is resumed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from ... import __version__
from ...banks.record import DIRECTIONS
from ...common.errors import StudyError
from ...evaluators.task import SEEDS, Evaluator, Fingerprinted, conditions_of, limits_of
from ..execution.slots import SlotStudy
from ..execution.storage import write_new_study_attr
from .record import METADATA

COMPARED = (
    "task",
    "data",
    "conditions",
    "limits",
    "space_hash",
    "sampler",
    "pruner",
    "seed",
    "direction",
    "minimize",
)
"""What must be the same for two studies to be one."""


def check_asked(evaluator: Evaluator, seed: int) -> None:
    """See that a study can be begun.

    Raises:
        StudyError: The seed is none that all libraries take, or the task's direction is none.
    """
    if seed not in SEEDS:
        raise StudyError(f"seed is {seed}: give 0 or more, and less than 2**32")
    direction = evaluator.task.direction
    if direction not in DIRECTIONS:
        raise StudyError(f"direction is {direction!r}: say 'maximize' or 'minimize'")


def check_run(trials: int | None, workers: int) -> None:
    """See that a run is asked to do something.

    Raises:
        StudyError: It is asked for no trial, or nobody works.
    """
    if trials is not None and trials < 1:
        raise StudyError(f"trials is {trials}: a study needs 1 at least")
    if workers < 1:
        raise StudyError(f"workers is {workers}: somebody has to work, give 1 at least")


@contextmanager
def begun(name: str, storage: BaseStorage, directions: Sequence[StudyDirection]) -> Iterator[None]:
    """The study is in the store; where it is new and is refused meanwhile, nothing is left there.

    Args:
        name: The study's.
        storage: Its store.
        directions: Of a new study's objectives.
    """
    try:
        optuna.create_study(study_name=name, storage=storage, directions=directions)
        new = True
    except DuplicatedStudyError:
        new = False
    try:
        yield
    except BaseException:
        # Somebody else may have joined in the meantime, whom nobody refused.
        if new and not SlotStudy(name, storage).all_trials():
            optuna.delete_study(study_name=name, storage=storage)
        raise


def directions_of(facts: Mapping[str, Any]) -> list[StudyDirection]:
    """Which way each objective is searched, by what a study is said to be (see `describe`)."""
    first = StudyDirection[facts["direction"].upper()]
    return [first, *(StudyDirection.MINIMIZE for _ in facts["minimize"])]


def describe(
    evaluator: Evaluator, *, sampler: str, pruner: str, seed: int, minimize: Sequence[str]
) -> dict[str, Any]:
    """What a study searches, as plain values."""
    task, space = evaluator.task, evaluator.space
    return {
        "version": __version__,
        "task": task.name,
        "data": getattr(task, "digest", None),
        "metric": task.metric,
        "direction": task.direction,
        "conditions": conditions_of(evaluator),
        "limits": limits_of(evaluator),
        "task_facts": task.describe(),
        "space": space.to_json(),
        "space_hash": space.hash,
        "sampler": sampler,
        "pruner": pruner,
        "seed": seed,
        "minimize": list(minimize),
    }


def settled(study: SlotStudy, now: dict[str, Any], evaluator: Evaluator) -> dict[str, Any]:
    """The facts of a stored study; of a new one those of now, with a key and fingerprints.

    Args:
        study: As it is in the store.
        now: What it is said to be, see `describe`.
        evaluator: Knows its task's fingerprints; asked for where the study is new.

    Raises:
        StudyError: The study was begun as something else.
    """
    stored: dict[str, Any] | None = study.user_attrs.get(METADATA)
    if stored is None:
        if study.all_trials():
            raise StudyError(
                f"the store has a study {study.study_name!r} that Bequest did not make: give the "
                "new study another name"
            )
        _check_directions(study, now)
        fingerprints = _fingerprints(evaluator)  # takes a while: somebody else may begin meanwhile
        if METADATA not in study.user_attrs:
            facts = {**now, "fingerprints": fingerprints, "key": uuid.uuid4().hex}
            write_new_study_attr(study, METADATA, facts)
        stored = study.user_attrs[METADATA]
    # Older studies had one objective, and did not say on which data, under which conditions.
    stored = {"minimize": [], **{n: now[n] for n in ("conditions", "limits")}, **stored}
    if stored.get("data") is None:
        stored["data"] = now["data"]
    for name in COMPARED:
        if stored[name] != now[name]:
            raise StudyError(
                f"study {study.study_name!r} was begun with {name.replace('_', ' ')} "
                f"{stored[name]!r}, not {now[name]!r}: give the new study another name"
            )
    _check_directions(study, now)
    return stored


def _check_directions(study: SlotStudy, now: Mapping[str, Any]) -> None:
    """See that Optuna searches the same way: what it is told once stays."""
    asked = directions_of(now)
    if study.directions != asked:
        found, wanted = ("/".join(d.name.lower() for d in ds) for ds in (study.directions, asked))
        raise StudyError(
            f"the store has a study {study.study_name!r} that is to {found}, not to {wanted}: give "
            "the new study another name"
        )


def _fingerprints(evaluator: Evaluator) -> dict[str, list[float]]:
    if not isinstance(evaluator, Fingerprinted):
        return {}
    return {kind: [*vector] for kind, vector in evaluator.fingerprints().items()}
