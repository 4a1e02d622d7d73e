"""Worker processes on this machine: started, watched, replaced, stopped.

Each is a fresh interpreter that runs the ordinary worker loop against the study store. A worker
that dies (a segmentation fault, the kernel's out-of-memory killer) costs one try of one trial: its
slot is given back and another worker takes its place.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
from optuna.trial import TrialState

from ...common.errors import StudyError, reason_of
from .ownership import is_worker, parent_variable
from .recovery import mark_lost, recover
from .slots import INTERRUPTED, OWNER, SlotStudy
from .storage import HEARTBEAT_SECONDS, database_url
from .worker import Worker

PROGRAM = "bequest.search.execution.worker_process"
POLL_SECONDS = 0.2
REFUSED = 3
"""The exit code of a worker after it has printed why the study cannot go on."""

FUTILE_STARTS = 3
"""After so many workers in a row died without a trial, no configuration can be the cause."""


def run_pool(
    worker: Worker,
    workers: int,
    budget: int,
    deadline: float | None,
    after_trial: Callable[[], None],
) -> None:
    """Run a worker's loop in so many processes until the budget or the deadline is reached.

    Args:
        worker: Each process runs a copy of it.
        workers: How many processes.
        budget: How many slots the study has in the end.
        deadline: The time (`time.time`) after which no trial is begun.
        after_trial: Called in this process when trials have ended.

    Raises:
        StudyError: Workers cannot start.
    """
    with tempfile.TemporaryDirectory(prefix="bequest-") as folder:
        _Pool(worker, workers, budget, deadline, after_trial, Path(folder)).run()


class _Pool:
    def __init__(
        self,
        worker: Worker,
        workers: int,
        budget: int,
        deadline: float | None,
        after_trial: Callable[[], None],
        folder: Path,
    ) -> None:
        self.optuna_study = worker.study
        self.after_trial = after_trial
        self.folder = folder
        self.workers = workers
        self.processes: list[subprocess.Popen[bytes]] = []
        self.logs: dict[int, Path] = {}
        self.futile = 0
        self.started = 0
        self._ended = -1
        self.payload = folder / "worker.pickle"
        self.payload.write_bytes(
            cloudpickle.dumps(
                {
                    # Where a script's own modules are: needed to unpickle the rest.
                    "path": [str(Path(entry).absolute()) for entry in sys.path],
                    "worker": _pickled(
                        {
                            "evaluator": worker.evaluator,
                            "storage": _url(worker.study),
                            "name": worker.study.study_name,
                            "seed": worker.seed,
                            "minimize": worker.minimize,
                            "sampler": self.optuna_study.sampler,
                            "pruner": self.optuna_study.pruner,
                            "budget": budget,
                            "deadline": deadline,
                        }
                    ),
                }
            )
        )

    def run(self) -> None:
        try:
            self.processes = [self._start() for _ in range(self.workers)]
            beat = time.time()
            while self.processes:
                time.sleep(POLL_SECONDS)
                self._replace_dead()
                self._report_ended()
                if time.time() - beat > HEARTBEAT_SECONDS:
                    recover(self.optuna_study)
                    beat = time.time()
        finally:
            self._stop()

    def _start(self) -> subprocess.Popen[bytes]:
        self.started += 1
        # One BLAS thread a worker: two processes beat two threads.
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
        env = {**os.environ, **threads, **parent_variable()}
        with open(self._log(self.started), "wb") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    PROGRAM,
                    str(self.payload),
                ],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=env,
                # Ctrl-C reaches the parent alone, which then stops its workers in order.
                start_new_session=True,
            )
        self.logs[process.pid] = self._log(self.started)
        return process

    def _log(self, number: int) -> Path:
        return self.folder / f"worker-{number}.log"

    def _replace_dead(self) -> None:
        for process in list(self.processes):
            code = process.poll()
            if code is None:
                continue
            self.processes.remove(process)
            if code == 0:
                continue
            if code == REFUSED:
                raise StudyError(self._last_line(process.pid))
            had_trial = recover(self.optuna_study, elsewhere=False) > 0
            self.futile = 0 if had_trial else self.futile + 1
            if self.futile >= FUTILE_STARTS:
                raise StudyError(
                    f"workers cannot start (exit code {code}): {self._last_line(process.pid)}"
                )
            self.processes.append(self._start())

    def _give_back(self, pid: int) -> None:
        """Give back the trial of a worker that had to be killed."""
        for trial in self.optuna_study.all_trials():
            running = trial.state == TrialState.RUNNING
            if running and is_worker(trial.system_attrs.get(OWNER, {}), pid):
                mark_lost(self.optuna_study, trial, INTERRUPTED)

    def _last_line(self, pid: int) -> str:
        lines = self.logs[pid].read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no message"

    def _report_ended(self) -> None:
        ended = sum(t.state.is_finished() for t in self.optuna_study.all_trials())
        if ended != self._ended:
            self._ended = ended
            self.after_trial()

    def _stop(self) -> None:
        """Stop the workers and give their trials back: a stopped run leaves nothing RUNNING."""
        for process in self.processes:
            process.send_signal(signal.SIGTERM)
        for process in self.processes:
            try:
                process.wait(timeout=5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            self._give_back(process.pid)
        self.processes = []


def _pickled(parts: dict[str, Any]) -> bytes:
    """The parts of a worker, to be sent to another process.

    Raises:
        StudyError: They cannot be sent.
    """
    try:
        pickled: bytes = cloudpickle.dumps(parts)
    except Exception as error:  # whatever a user's own object raises
        raise StudyError(
            f"worker processes cannot be given this search ({reason_of(error)}): open files, locks "
            "and connections in the function itself, or use workers=1"
        ) from error
    return pickled


def _url(study: SlotStudy) -> str:
    url = database_url(study)
    if url is None:
        raise StudyError("worker processes need a study store with a URL: give storage=URL")
    return url
