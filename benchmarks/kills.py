"""Ten SIGKILLs at random moments: nothing lost, nothing doubled, the same sequence.

``python -m benchmarks.kills --task wine-knn --trials 20 --out FILE.json`` runs ``bequest search``
once undisturbed, then again with kills and resumes, for every sampler (``transfer`` with the
bundled bank), and compares slot by slot.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from typing import Any

from bequest.search.execution.slots import is_lost
from bequest.search.samplers import SAMPLERS
from bequest.search.studies.record import open_record
from bequest.search.studies.trial import Trial

from .harness import Result

KILLS = 10
TIMES = ("seconds",)


def search(command: list[str], kill_after: float | None) -> bool:
    """Run the command; whether it was killed before its end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        code = process.wait(timeout=kill_after)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return True
    if code != 0:
        raise SystemExit(f"{' '.join(command)} ended with {code}")
    return False


def essence(trial: Trial) -> tuple[Any, ...]:
    """Everything about a trial that does not hang on the clock."""
    metrics = {k: v for k, v in trial.metrics.items() if k not in TIMES}
    return trial.slot, trial.state, trial.config, trial.value, metrics, trial.curve


def measure(task: str, sampler: str, trials: int, folder: str) -> dict[str, Any]:
    """One row: kills, orphans, lost and doubled slots, slots that differ."""
    url = f"sqlite:///{folder}/{sampler}.db"
    base = [sys.executable, "-m", "bequest", "search", task, "--trials", str(trials)]
    base += ["--sampler", sampler, "--storage", url, "--no-mlflow", "--no-fit"]
    began = time.time()
    search([*base, "--name", "whole"], None)
    whole_seconds = time.time() - began
    chance = random.Random(sampler)
    kills = 0
    while kills < KILLS:
        # The first seconds go into imports: kills fall there and into the trials.
        killed = search([*base, "--name", "killed"], chance.uniform(2, 4 + whole_seconds / 8))
        kills += killed
        if not killed:
            break
    search([*base, "--name", "killed"], None)
    whole, killed_study = open_record("whole", url), open_record("killed", url)
    stored = killed_study.optuna_study.all_trials()
    kept = [t for t in stored if not is_lost(t)]
    pairs = zip(whole.trials, killed_study.trials, strict=False)
    return {
        "what": "kills",
        "method": sampler,
        "task": task,
        "kills": kills,
        "retried": len(stored) - len(kept),
        "orphans": sum(not t.state.is_finished() for t in stored),
        "lost": trials - len(killed_study.trials),
        "doubled": len(kept) - len(killed_study.trials),
        "differing": sum(essence(a) != essence(b) for a, b in pairs),
    }


def main() -> None:
    """Measure every sampler, print it, write it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--task", default="wine-knn")
    parser.add_argument("--trials", type=int, default=40)
    parser.add_argument("--out")
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    result = Result("kills")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["BEQUEST_HOME"] = folder
        for sampler in [n for n in SAMPLERS if not n.startswith("autotransfer")]:
            row = measure(args.task, sampler, args.trials, folder)
            result.rows.append(row)
            wrong = row["orphans"] + row["lost"] + row["doubled"] + row["differing"]
            result.claim(f"{sampler}: orphans, lost, doubled, differing trials", wrong, 0, "lower")
            result.claim(f"{sampler}: kills", row["kills"], KILLS, "higher")
    result.write(args.out)


if __name__ == "__main__":
    main()
