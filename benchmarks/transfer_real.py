"""Real trainings, no table: what the bundled bank saves on tasks that are left out of it.

``python -m benchmarks.transfer_real --data-root DATA --work FOLDER --seeds 3 --out FILE.json``

Each task is left out of the bank, with every design that was bred for it. The transfer sampler has
five trials, random search and TPE have thirty (``transfer-30`` has them, too); on Cora the chosen
model is trained on the public split and tested once. Studies are kept in FOLDER and go on where
they stopped; ``--finished`` says what those found that have ended, and runs none.
"""

from __future__ import annotations

import argparse
import os
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna

import bequest
from bequest.banks.bank import Bank
from bequest.banks.bundled import GRAPHS
from bequest.banks.exchange import import_bank
from bequest.search.studies.record import list_records
from bequest.search.studies.trial import COMPLETE, FAILED

from .harness import Result, Summary

TASKS = ("cora", "airports-usa", "mutag", "ptc-mr")
"""Two node tasks, two graph tasks; of those that are quick to train, so that 800 trainings end."""
BUDGETS = {"transfer": 5, "transfer-30": 30, "random": 30, "tpe": 30, "gp": 30}
INHERITING = ("transfer", "transfer-30")
TESTED = "cora"


@dataclass(frozen=True)
class Run:
    """One search: best validation metric after each trial, and the winner's test metric."""

    task: str
    method: str
    seed: int
    best: list[float]
    test: float


def search(task: str, method: str, seed: int, root: str | None, work: str, bank: str) -> Run:
    """Run or resume one study."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = bequest.Study(
        bequest.GraphEvaluator(bequest.load_task(task, root)),
        sampler=method.split("-")[0],
        bank=bank if method in INHERITING else "none",
        storage=f"sqlite:///{work}/{task}-{method}-{seed}.db",
        seed=seed,
        tracking=False,
    )
    study.run(trials=BUDGETS[method], progress=False)
    values = [-np.inf if t.value is None else t.value for t in study.trials]
    test = study.best.metrics[f"test_{study.record.metric}"]
    return Run(task, method, seed, np.maximum.accumulate(values).tolist(), test)


def has_ended(task: str, method: str, seed: int, work: Path) -> bool:
    """Whether a study has spent its budget."""
    path = work / f"{task}-{method}-{seed}.db"
    if not path.exists():
        return False
    (record,) = list_records(f"sqlite:///{path}")
    return sum(trial.state in (COMPLETE, FAILED) for trial in record.trials) >= BUDGETS[method]


def summarise(runs: list[Run], result: Result) -> None:
    """Rows by task and method, and the claims."""
    ends = {(r.task, r.method, r.seed): r.best[-1] for r in runs}
    for task in TASKS:
        for method, budget in BUDGETS.items():
            mine = [r for r in runs if (r.task, r.method) == (task, method)]
            if not mine:
                continue
            for k in (1, 3, 5, 10, 30):
                if k <= budget:
                    best = Summary.of([r.best[k - 1] for r in mine])
                    row = {"task": task, "method": method, "k": k, "seeds": len(mine)}
                    result.rows.append({**row, **best.row()})
            test = Summary.of([r.test for r in mine])
            row = {"task": task, "method": method, "what": "test", "seeds": len(mine)}
            result.rows.append({**row, **test.row()})
        for rival in ("random", "tpe"):
            seeds = [s for t, m, s in ends if (t, m) == (task, rival)]
            pairs = [(ends[task, "transfer", s], ends[task, rival, s]) for s in seeds]
            if pairs:  # a seed decides the split, too: only the same seeds can be compared
                own, other = np.mean(pairs, axis=0)
                name = f"{task}: best validation after 5 trials, {rival}'s after 30 as the bar"
                result.claim(f"{name} ({len(pairs)} seeds)", float(own), float(other), "higher")
    for method in INHERITING:
        tests = [r.test for r in runs if (r.task, r.method) == (TESTED, method)]
        if tests:
            name = f"{TESTED}: test metric of the model chosen after {BUDGETS[method]} trials"
            result.claim(f"{name} ({len(tests)} seeds)", float(np.mean(tests)), 0.815, "higher")


def main() -> None:
    """Run all studies, then print and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--data-root", default=os.environ.get("BEQUEST_DATA"))
    parser.add_argument("--work", type=Path, default=Path("build/transfer_real"))
    parser.add_argument("--bank", type=Path, default=GRAPHS, help="the bank's Parquet folder")
    parser.add_argument("--methods", default="transfer,random,tpe")
    parser.add_argument("--tasks", default=",".join(TASKS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--finished", action="store_true", help="run nothing")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    jobs = []
    for method in args.methods.split(","):
        for task in args.tasks.split(","):
            for seed in range(args.seeds):
                if args.finished and not has_ended(task, method, seed, args.work):
                    continue
                # A copy for each study: what one adds, the others do not inherit.
                bank = args.work / f"bank-{task}-{method}-{seed}.db"
                if method in INHERITING and not bank.exists():
                    import_bank(Bank(f"sqlite:///{bank}"), args.bank)
                url = f"sqlite:///{bank}"
                jobs.append((task, method, seed, args.data_root, str(args.work), url))
    with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
        runs = list(pool.map(search, *zip(*jobs, strict=True)))
    result = Result("transfer_real")
    summarise(runs, result)
    result.write(args.out)


if __name__ == "__main__":
    main()
