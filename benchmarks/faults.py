"""What a study bears: unfit results, exceptions, memory, a tracking server that is down.

``python -m benchmarks.faults --out FILE.json`` runs one study for each fault, which befalls every
fourth trial, and looks at what the study store and MLflow say afterwards.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from mlflow import MlflowClient
from optuna.distributions import FloatDistribution

from bequest import Parameter, Space, Study
from bequest.common.errors import StudyError
from bequest.search.tracking.tracker import make_tracker

from .harness import Result

SPACE = Space("one", [Parameter("x", FloatDistribution(0, 1))])
TRIALS, EVERY = 12, 4
CLOSED = "http://127.0.0.1:9"  # the discard port: nobody listens


def raises(error: Exception) -> Any:
    """Raise in an expression."""
    raise error


FAULTS: dict[str, Callable[[], Any]] = {
    "NaN": lambda: float("nan"),
    "infinite": lambda: float("inf"),
    "exception": lambda: 1 / 0,
    "out of memory": lambda: torch.empty(10**15),
    "MemoryError": lambda: raises(MemoryError("no room")),
    "wrong type": lambda: "0.9",
    "nothing": lambda: None,
}


def search(name: str, fault: Callable[[], Any], uri: str, every: int = EVERY) -> Study:
    """A study in which every so manyth trial suffers the fault."""
    count = 0

    def train(config: dict[str, Any]) -> Any:
        nonlocal count
        count += 1
        return fault() if count % every == 0 else config["x"]

    return Study.of(train, SPACE, name=name, sampler="random", storage=_store(), tracking=uri)


def _store() -> str:
    return f"sqlite:///{os.environ['BEQUEST_HOME']}/studies.db"


def children(uri: str, key: str) -> list[Any]:
    """The child runs of a study."""
    client = MlflowClient(tracking_uri=uri)
    ids = [e.experiment_id for e in client.search_experiments()]
    rule = f"tags.`bequest.study` = '{key}' and tags.`bequest.role` = 'trial'"
    return list(client.search_runs(ids, rule))


def bear(result: Result, uri: str) -> None:
    """Every fault: the search goes on, and the reason is in the store and in MLflow."""
    for name, fault in FAULTS.items():
        study = search(f"fault {name}", fault, uri).run(trials=TRIALS, progress=False)
        failed = [t for t in study.trials if t.state == "failed" and t.error]
        complete = [t for t in study.trials if t.state == "complete"]
        logged = [r for r in children(uri, study.record.key) if r.info.status == "FAILED"]
        reasons = {r.data.tags.get("bequest.error") for r in logged}
        row = {"what": name, "trials": len(study.trials), "failed": len(failed)}
        row |= {"complete": len(complete), "in_mlflow": len(logged), "reason": failed[0].error}
        result.rows.append(row)
        expected = TRIALS // EVERY
        right = len(failed) == len(logged) == expected and len(complete) == TRIALS - expected
        borne = right and reasons == {t.error for t in failed}
        result.claim(f"{name}: borne, with its reason in store and MLflow", int(borne), 1, "higher")


def stop(result: Result, uri: str) -> None:
    """More than half failing: a clear end."""
    study = search("most fail", lambda: 1 / 0, uri, every=1)
    try:
        study.run(trials=100, progress=False)
        message = ""
    except StudyError as error:
        message = str(error)
    result.rows.append({"what": "most fail", "trials": len(study.trials), "reason": message})
    result.claim("most trials failing stops a run: trials begun", len(study.trials), 10, "lower")


def unreachable(result: Result, uri: str) -> None:
    """MLflow down: the search ends; what was missed is logged later."""
    study = search("server down", lambda: 1 / 0, CLOSED).run(trials=TRIALS, progress=False)
    written = make_tracker(study.record, uri).sync()
    logged = len(children(uri, study.record.key))
    row = {"what": "MLflow down", "trials": len(study.trials), "written_later": written}
    result.rows.append({**row, "in_mlflow": logged})
    result.claim("MLflow down: trials logged afterwards", logged, TRIALS, "higher")
    again = make_tracker(study.record, uri).sync()
    result.claim("MLflow down: trials doubled by a second sync", again, 0, "lower")


def main() -> None:
    """Try every fault, print what came of it, write it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    result = Result("faults")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BEQUEST_HOME"] = folder
        uri = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        bear(result, uri)
        stop(result, uri)
        unreachable(result, uri)
    result.write(args.out)


if __name__ == "__main__":
    main()
