"""Follows a search and writes it to MLflow, off the critical path.

The store is the record; MLflow is a view of it that can be made again at any time. A thread follows
the store and writes a parent run for the search and a child run for each step of it. If MLflow
cannot be reached the search goes on: the next run, or ``bequest sync``, writes what is missing with
its original times.
"""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from ...common.errors import StudyError, reason_of
from ...common.home import home
from ..studies.record import StudyRecord
from .study_runs import StudyRuns

LAST_FLUSH_SECONDS = 120
RETRY_SECONDS = 15
PACE_SECONDS = 1.0
"""Trials that end within so short a time are written together: it costs less."""


class Runs(Protocol):
    """One search's runs in MLflow; whatever MLflow raises comes through."""

    def write(self) -> int:
        """Write what has ended and is not there yet; return how much that was."""

    def finish(self, status: str) -> None:
        """Put pictures and results on the parent, and end it."""

    def link(self) -> str:
        """The parent run's page."""


M = TypeVar("M", bound=Runs)
M_co = TypeVar("M_co", bound=Runs, covariant=True)


class Tracker(Protocol[M_co]):
    """Follows one search."""

    def start(self) -> None:
        """Begin to follow; returns at once."""

    def notify(self) -> None:
        """Say that something has ended; returns at once."""

    def close(self, *, finished: bool) -> None:
        """Write what is missing and stop following."""

    def sync(self) -> int:
        """Write what is missing, now; return how much that was."""

    def also(self, action: Callable[[M_co], None], otherwise: str) -> None:
        """Do one more thing to the runs, now; where that fails, warn with ``otherwise``."""

    def link(self) -> str | None:
        """Where a person finds it."""


class NoTracker(Generic[M]):
    """Tracking that is switched off."""

    def start(self) -> None: ...

    def notify(self) -> None: ...

    def close(self, *, finished: bool) -> None: ...

    def sync(self) -> int:
        return 0

    def also(self, action: Callable[[M], None], otherwise: str) -> None: ...

    def link(self) -> str | None:
        return None


def tracking_uri() -> str:
    """``MLFLOW_TRACKING_URI`` where it is set, else the home's database."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{home() / 'mlflow.db'}"


def make_tracker(study: StudyRecord, tracking: str | bool | None) -> Tracker[StudyRuns]:
    """The tracker of a study; see `tracker_of`."""
    remedy = f"`bequest sync {study.name}` logs what is missing"
    return tracker_of(lambda uri: StudyRuns(study, uri), tracking, remedy)


def tracker_of(
    open_runs: Callable[[str], M], tracking: str | bool | None, remedy: str
) -> Tracker[M]:
    """The tracker for a ``tracking`` setting.

    Args:
        open_runs: Opens the runs under a tracking URI.
        tracking: A URI; ``None`` for the usual one; ``False`` for no tracking.
        remedy: What to do when MLflow could not be written.

    Raises:
        StudyError: The URI is a folder: MLflow's file store is no longer kept up.
    """
    if tracking is False:
        return NoTracker()
    uri = tracking if isinstance(tracking, str) else tracking_uri()
    if "://" not in uri or uri.startswith("file:"):
        raise StudyError(
            f"tracking URI {uri!r} is a folder, which MLflow no longer keeps up: "
            "use sqlite:///mlflow.db or a server's address"
        )
    return MlflowTracker(open_runs, uri, remedy)


class MlflowTracker(Generic[M]):
    """Writes a search to MLflow from a thread of its own.

    Args:
        open_runs: Opens the runs under a tracking URI.
        uri: MLflow's tracking URI.
        remedy: What to do when MLflow could not be written.
    """

    def __init__(self, open_runs: Callable[[str], M], uri: str, remedy: str) -> None:
        self.uri = uri
        self.remedy = remedy
        self._open = open_runs
        self.error: str | None = None
        self._runs: M | None = None
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread: threading.Thread | None = None
        self._retry_at = 0.0

    def start(self) -> None:
        self._closing.clear()
        self._runs = None
        self._thread = threading.Thread(target=self._follow, name="mlflow", daemon=True)
        self._thread.start()

    def notify(self) -> None:
        self._wake.set()

    def close(self, *, finished: bool) -> None:
        self._closing.set()
        self._wake.set()
        assert self._thread is not None
        self._thread.join(timeout=LAST_FLUSH_SECONDS)
        if not self._thread.is_alive():
            self._attempt(lambda runs: _end(runs, "FINISHED" if finished else "KILLED"))
        if self.error is not None:
            warnings.warn(
                f"MLflow at {self.uri} could not be written ({self.error}): nothing is lost, "
                f"{self.remedy}",
                stacklevel=3,
            )

    def sync(self) -> int:
        try:
            self._runs = self._open(self.uri)
            written = _end(self._runs, "FINISHED")
        except Exception as error:  # whatever MLflow, its store or the network raises
            raise StudyError(f"MLflow at {self.uri} cannot be written: {_reason(error)}") from error
        return written

    def also(self, action: Callable[[M], None], otherwise: str) -> None:
        self._attempt(action)
        if self.error is not None:
            warnings.warn(f"{otherwise}: {self.error}", stacklevel=3)

    def link(self) -> str | None:
        runs = self._runs
        return None if runs is None else runs.link()

    def _follow(self) -> None:
        # The first import of MLflow takes seconds: it is done here, beside the first trial.
        while not self._closing.is_set():
            if time.time() >= self._retry_at:
                self._attempt(lambda runs: runs.write())
            self._wake.wait(timeout=RETRY_SECONDS)
            self._wake.clear()
            self._closing.wait(timeout=PACE_SECONDS)
        if self.error is None:
            self._attempt(lambda runs: runs.write())

    def _attempt(self, action: Callable[[M], object]) -> None:
        """Do something to the runs; if MLflow fails, keep the reason and let the search go on."""
        try:
            if self._runs is None:
                self._runs = self._open(self.uri)
            action(self._runs)
            self.error = None
        except Exception as error:  # whatever MLflow, its store or the network raises
            self.error = _reason(error)
            self._runs = None
            self._retry_at = time.time() + RETRY_SECONDS


def _end(runs: Runs, status: str) -> int:
    """Write what is missing, then end the runs."""
    written = runs.write()
    runs.finish(status)
    return written


def _reason(error: Exception) -> str:
    return f"{type(error).__name__}: {reason_of(error)}"[:300]
