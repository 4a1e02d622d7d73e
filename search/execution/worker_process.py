"""The main program of a worker process: ``python -m`` this module and the path of a payload."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import threading
import time
import traceback
from pathlib import Path
from typing import Any, NoReturn

import cloudpickle
from optuna.exceptions import OptunaError
from sqlalchemy.exc import SQLAlchemyError

from ...common.errors import BequestError, reason_of
from .ownership import PARENT_VARIABLE
from .pool import REFUSED
from .slots import SlotStudy
from .storage import open_storage
from .worker import Worker

PARENT_CHECK_SECONDS = 1.0
PR_SET_PDEATHSIG = 1  # Linux: prctl(2)


def main(path: str) -> None:
    """Run the worker loop as the pickled payload of `pool` says."""
    _die_with_parent()
    signal.signal(signal.SIGTERM, _interrupt)
    outer: dict[str, Any] = cloudpickle.loads(Path(path).read_bytes())
    sys.path += [entry for entry in outer["path"] if entry not in sys.path]
    payload: dict[str, Any] = cloudpickle.loads(outer["worker"])
    # An Optuna sampler with a random stream must not draw the same in every worker; Bequest's own,
    # whose draws depend on the slot, are not affected.
    payload["sampler"].reseed_rng()
    study = SlotStudy(
        payload["name"], open_storage(payload["storage"]), payload["sampler"], payload["pruner"]
    )
    worker = Worker(payload["evaluator"], study, payload["seed"], payload["minimize"])
    try:
        worker.run(payload["budget"], payload["deadline"])
    except KeyboardInterrupt:
        sys.exit(130)
    except BequestError as error:  # it would happen to any worker
        _refuse(str(error))
    except SystemExit as error:
        _refuse(
            f"the evaluator ended its process with sys.exit({error.code}): let it raise an "
            "exception where a configuration fails"
        )
    except (OptunaError, SQLAlchemyError, OSError):
        raise  # a busy store, say: another worker may succeed
    except Exception as error:  # a sampler's or pruner's, say
        traceback.print_exc()
        _refuse(f"the study cannot go on: {type(error).__name__}: {reason_of(error)}")


def _refuse(sentence: str) -> NoReturn:
    """End this process, and the run with it: the pool reports the last line printed here."""
    print(sentence, file=sys.stderr)
    sys.exit(REFUSED)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _die_with_parent() -> None:
    """End with the parent: an orphan would go on with a study that may be resumed elsewhere."""
    parent = json.loads(os.environ[PARENT_VARIABLE])["pid"]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os._exit(1)


if __name__ == "__main__":
    main(sys.argv[1])
