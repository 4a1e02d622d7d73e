"""What a selection has trained so far: a study in a study store, whose trials are the sources."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import optuna
import sqlalchemy
from optuna.distributions import IntDistribution
from optuna.storages import BaseStorage
from optuna.trial import TrialState

from ...common.errors import SelectionError
from ...common.home import file_name, home
from ..execution.slots import SlotStudy
from ..execution.storage import open_storage, write_new_study_attr

IDENTITY = "bequest:selection"
"""The study attribute that holds what the selection chooses from."""

SOURCE = "bequest:source"
"""The trial attribute that holds a `Source`; NaN is stored as null."""

COMPARED = ("contexts", "selector", "seed", "costs", "conditions")


@dataclass(frozen=True)
class Source:
    """One trained source.

    Attributes:
        index: Its context.
        row: The return on every context ``[N]``; all NaN if the training failed.
        value: V after it.
        expected_gain: By how much it was expected to raise V; NaN if nothing was expected.
        seconds: Wall time of training and evaluation.
        finished: When (`time.time`).
        error: Why it failed.
        together: The contexts trained in one call, itself among them; empty if it was alone.
    """

    index: int
    row: np.ndarray
    value: float
    expected_gain: float
    seconds: float
    finished: float
    error: str | None = None
    together: Sequence[int] = ()


class SelectionStore:
    """The sources of one selection; each is written in one transaction.

    Args:
        name: The selection's name.
        storage: A study store, as `Study` takes it; the home's by default.
        folder: Of pictures, by default ``selections/NAME`` in the Bequest home. A folder that is
            given holds a store of its own as well, unless a ``storage`` is given.

    Raises:
        SelectionError: The name is empty or a path.
        StudyError: The store cannot be opened.
    """

    def __init__(
        self, name: str, storage: str | BaseStorage | None = None, folder: Path | None = None
    ) -> None:
        if not name.strip(". "):
            raise SelectionError(f"a selection cannot be called {name!r}: give it a name")
        self.folder = folder or home() / "selections" / file_name(name)
        self.folder.mkdir(parents=True, exist_ok=True)
        if folder is not None and storage is None:
            database = str(folder / "selection.db")
            storage = sqlalchemy.URL.create("sqlite", database=database).render_as_string()
        self._store = open_storage(storage)
        self._name = f"selection:{name}"
        self._study: SlotStudy | None = None

    def open(self, identity: dict[str, Any]) -> dict[str, Any]:
        """The identity with which the selection was begun; ``identity`` if it is new.

        Raises:
            SelectionError: It was begun with other contexts, another selector or seed, or its files
                of version 0.1 are damaged.
        """
        earlier = _Files(self.folder)
        optuna.create_study(
            study_name=self._name, storage=self._store, direction="maximize", load_if_exists=True
        )
        self._study = SlotStudy(self._name, self._store)
        if IDENTITY not in self._study.user_attrs:
            sources = earlier.sources() if earlier.exist else []
            first = earlier.identity() if earlier.exist else identity
            write_new_study_attr(self._study, IDENTITY, first)
            for source in sources:
                self.append(source)
        stored: dict[str, Any] = self._study.user_attrs[IDENTITY]
        for name in COMPARED:
            if stored.get(name) != identity[name]:
                raise SelectionError(
                    f"selection {identity['name']!r} was begun with other {name}: give the new one "
                    "another name"
                )
        return stored

    def sources(self) -> list[Source]:
        """The trained sources, in order."""
        assert self._study is not None
        trials = self._study.get_trials(deepcopy=False)
        return [_source(t.user_attrs[SOURCE]) for t in trials if SOURCE in t.user_attrs]

    def append(self, source: Source) -> None:
        """Store a source."""
        assert self._study is not None
        failed = source.error is not None
        finished = datetime.fromtimestamp(source.finished)
        trial = optuna.trial.create_trial(
            state=TrialState.FAIL if failed else TrialState.COMPLETE,
            value=None if failed else source.value,
            params={"context": source.index},
            distributions={"context": IntDistribution(0, len(source.row) - 1)},
            user_attrs={SOURCE: _plain(source)},
        )
        trial.datetime_start = finished - timedelta(seconds=source.seconds)
        trial.datetime_complete = finished
        self._study.add_trial(trial)


def _plain(source: Source) -> dict[str, Any]:
    plain = {**asdict(source), "row": source.row.tolist(), "together": list(source.together)}
    plain["row"] = [None if np.isnan(value) else value for value in plain["row"]]
    for name in ("value", "expected_gain"):
        plain[name] = None if np.isnan(plain[name]) else float(plain[name])
    return plain


def _source(plain: dict[str, Any]) -> Source:
    numbers = {name: np.nan if plain[name] is None else plain[name] for name in _MAY_BE_NAN}
    row = np.array(plain["row"], dtype=float)  # null becomes NaN
    return Source(**{**plain, **numbers, "row": row})


_MAY_BE_NAN = ("value", "expected_gain")


class _Files:
    """A selection of version 0.1: ``selection.json`` and ``sources/0000.npz``, ``0001.npz``, ..."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._path = folder / "selection.json"

    @property
    def exist(self) -> bool:
        return self._path.exists()

    def identity(self) -> dict[str, Any]:
        """What the selection was begun with.

        Raises:
            SelectionError: The file is damaged.
        """
        try:
            stored: dict[str, Any] = json.loads(self._path.read_text())
            stored.pop("format_version")
        except (json.JSONDecodeError, KeyError) as error:
            raise SelectionError(f"{str(self._path)!r} is damaged: {error!r}") from error
        return {"conditions": {}, **stored}

    def sources(self) -> list[Source]:
        """The trained sources, in order.

        Raises:
            SelectionError: A file is damaged.
        """
        sources = []
        for path in sorted((self._folder / "sources").glob("*.npz")):
            try:
                with np.load(path, allow_pickle=False) as data:
                    sources.append(Source(row=data["row"], **json.loads(str(data["facts"]))))
            except (OSError, ValueError, KeyError, TypeError, BadZipFile) as error:
                raise SelectionError(
                    f"{str(path)!r} is damaged: remove it, its source is trained again ({error})"
                ) from error
        return sources
