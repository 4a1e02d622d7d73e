"""What identifies a study: registered when it is new, compared when it is resumed."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import optuna
from optuna.exceptions import DuplicatedStudyError
from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from ...banks.record import DIRECTIONS
from ...common.errors import StudyError
from ...common.version import __version__
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
"""What must be equal for two studies to be one."""


def check_arguments(evaluator: Evaluator, seed: int) -> None:
    """Check that a study can be begun.

    Raises:
        StudyError: Some library does not accept the seed, or the task's direction is unknown.
    """
    if seed not in SEEDS:
        raise StudyError(f"seed is {seed}: give 0 or more, and less than 2**32")
    direction = evaluator.task.direction
    if direction not in DIRECTIONS:
        raise StudyError(f"direction is {direction!r}: say 'maximize' or 'minimize'")


def check_run(trials: int | None, workers: int) -> None:
    """Check that a run has trials to run and workers to run them.

    Raises:
        StudyError: It has not.
    """
    if trials is not None and trials < 1:
        raise StudyError(f"trials is {trials}: a study needs 1 at least")
    if workers < 1:
        raise StudyError(f"workers is {workers}: give 1 at least")


def study_identity(
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


def directions_of(identity: Mapping[str, Any]) -> list[StudyDirection]:
    """The direction of each objective."""
    first = StudyDirection[identity["direction"].upper()]
    return [first, *(StudyDirection.MINIMIZE for _ in identity["minimize"])]


@contextmanager
def registration(
    name: str, storage: BaseStorage, directions: Sequence[StudyDirection]
) -> Iterator[None]:
    """Put a study into the store; if the block refuses a new one, it is taken out again.

    Args:
        name: The study's.
        storage: Its store.
        directions: Of a new study's objectives.
    """
    try:
        optuna.create_study(study_name=name, storage=storage, directions=directions)
        is_new = True
    except DuplicatedStudyError:
        is_new = False
    try:
        yield
    except BaseException:
        # Another process may have joined the study in the meantime and been accepted.
        if is_new and not SlotStudy(name, storage).all_trials():
            optuna.delete_study(study_name=name, storage=storage)
        raise


def registered_identity(
    study: SlotStudy, identity: dict[str, Any], evaluator: Evaluator
) -> dict[str, Any]:
    """The identity of a stored study; a new one gets ``identity``, a key and fingerprints.

    Args:
        study: As stored.
        identity: See `study_identity`.
        evaluator: Computes fingerprints of the task for a new study.

    Raises:
        StudyError: The study was begun with another identity.
    """
    stored: dict[str, Any] | None = study.user_attrs.get(METADATA)
    if stored is None:
        if study.all_trials():
            raise StudyError(
                f"the store has a study {study.study_name!r} that Bequest did not make: give the "
                "new study another name"
            )
        _check_directions(study, identity)
        fingerprints = _fingerprints(evaluator)  # takes a while: another process may be faster
        if METADATA not in study.user_attrs:
            registered = {**identity, "fingerprints": fingerprints, "key": uuid.uuid4().hex}
            write_new_study_attr(study, METADATA, registered)
        stored = study.user_attrs[METADATA]
    # Early studies had one objective, and did not store their data and conditions.
    stored = {"minimize": [], **{n: identity[n] for n in ("conditions", "limits")}, **stored}
    if stored.get("data") is None:
        stored["data"] = identity["data"]
    for name in COMPARED:
        if stored[name] != identity[name]:
            raise StudyError(
                f"study {study.study_name!r} was begun with {name.replace('_', ' ')} "
                f"{stored[name]!r}, not {identity[name]!r}: give the new study another name"
            )
    _check_directions(study, identity)
    return stored


def _check_directions(study: SlotStudy, identity: Mapping[str, Any]) -> None:
    """Check Optuna's own record of the directions, which never changes."""
    directions = directions_of(identity)
    if study.directions != directions:
        before, now = (
            "/".join(d.name.lower() for d in each) for each in (study.directions, directions)
        )
        raise StudyError(
            f"the store has a study {study.study_name!r} that is to {before}, not to {now}: give "
            "the new study another name"
        )


def _fingerprints(evaluator: Evaluator) -> dict[str, list[float]]:
    if not isinstance(evaluator, Fingerprinted):
        return {}
    return {kind: [*vector] for kind, vector in evaluator.fingerprints().items()}
