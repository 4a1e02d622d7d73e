"""What a bank saves: searches of a result table's tasks, each left out of the bank in turn.

``python -m benchmarks.transfer_trials --table PATH [--tasks A,B] --seeds 20 --out FILE.json``

PATH is NAS-Bench-Graph's table (targets: the six full data sets; proteins is in the bank only) or
GraphGym's (``real`` with the other 11 real tasks as bank, ``all`` with the other 31). Distinct
designs count; a run that does not reach a level within the budget counts as budget + 1.
AutoTransfer is given the *true* similarity (Kendall's tau of the whole tables), which nobody has:
an upper bound for any fingerprint. The transfer sampler is given nothing but the bank; on a finite
space it draws nothing at random, so it is run once. ``--bank negative`` leaves only those tasks in
the bank that correlate negatively with the target. Searches are kept in ``--work``, so that a run
that was stopped goes on, and methods that inherit nothing are run once for all banks. ``--earlier``
takes the rows of methods that are not run now from an earlier result; such rows say so.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import os
import pickle
import tempfile
import warnings
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
import pandas as pd
from scipy.stats import kendalltau

from bequest.banks import exchange
from bequest.banks.bank import Bank
from bequest.banks.scores import Scores
from bequest.common.errors import BequestError
from bequest.evaluators.table import TableEvaluator
from bequest.search.samplers import make_sampler
from bequest.search.samplers.autotransfer import AutoTransferSampler
from bequest.search.samplers.transfer_gp import TransferGPSampler
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.search.surrogates.transfer_prior import TransferPrior

from .harness import Result, Summary
from .search_trials import thresholds

METHODS = ("random", "tpe", "optuna-gp", "evolution", "gp", "autotransfer", "transfer")
INHERITING = ("autotransfer", "transfer")
KS = (1, 3, 10, 30)
FULL_DATASETS = ("arxiv", "citeseer", "computers", "cora", "cs", "photo")


@dataclass(frozen=True)
class Table:
    """A result table and what is asked of it."""

    path: str
    kind: str
    bank: str

    @property
    def budget(self) -> int:
        return 60 if self.kind == "nas-bench-graph" else 30

    def evaluator(self, task: str) -> TableEvaluator:
        """The table's own answers for one task."""
        if self.kind == "nas-bench-graph":
            return TableEvaluator.nas_bench_graph(self.path, task)
        return TableEvaluator.graphgym(self.path, task)


@cache
def evaluator_of(table: Table, task: str) -> TableEvaluator:
    """One evaluator a process."""
    return table.evaluator(task)


@cache
def scores_of(table: Table, folder: str) -> Scores:
    """The whole table as a bank's scores."""
    space = evaluator_of(table, tasks_of(table)[0]).space
    return Bank(f"sqlite:///{folder}/bank.db").scores(space)[0]


def tasks_of(table: Table) -> list[str]:
    """The tasks that play the new one."""
    if table.kind == "nas-bench-graph":
        return list(FULL_DATASETS)
    names = sorted(
        pd.read_parquet(table.path, columns=["task_id", "experiment"])["task_id"].unique()
    )
    space_tasks = [n for n in names if _complete(table.path, n)]
    return [n for n in space_tasks if table.bank != "real" or n.startswith("PyG")]


@cache
def _complete(path: str, task: str) -> bool:
    try:
        return len(TableEvaluator.graphgym(path, task).table) == 96
    except BequestError:
        return False


@cache
def similarity(table: Table, folder: str, task: str) -> dict[str, float]:
    """Kendall's tau of the target with each other task, on the designs that both have."""
    scores = scores_of(table, folder)
    names = [t.name for t in scores.tasks]
    own = scores.values[names.index(evaluator_of(table, task).task.name)]
    found = {}
    for name, row in zip(names, scores.values, strict=True):
        both = ~np.isnan(own) & ~np.isnan(row)
        found[name] = float(kendalltau(own[both], row[both]).statistic)
    return found


def inherited(table: Table, folder: str, task: str) -> Scores:
    """What the bank says when the target has been left out."""
    scores = scores_of(table, folder)
    target = evaluator_of(table, task).task.name
    kept = {t.name for t in scores.tasks if t.name != target}
    if table.bank == "real":
        kept = {name for name in kept if "PyG" in name}
    if table.bank == "negative":
        tau = similarity(table, folder, task)
        kept = {name for name in kept if tau[name] < 0}
    return scores.without([target]).only(kept)


@dataclass(frozen=True)
class Run:
    """One search: designs to each level, regret and test metric after k designs."""

    task: str
    method: str
    seed: int
    reached: dict[str, int]
    regret: dict[int, float]
    test: dict[int, float]


def kept(
    table: Table, folder: str, task: str, method: str, seed: int, uncapped: bool, work: str
) -> Run | None:
    """`search`, or what it found when it was run before."""
    bank = table.bank if method in INHERITING else "-"
    name = f"{table.kind} {bank} {task} {method} {seed} {uncapped}"
    path = Path(work) / f"{hashlib.sha1(name.encode()).hexdigest()}.pickle"
    if not path.exists():
        run = search(table, folder, task, method, seed, uncapped)
        part = path.with_suffix(f".{os.getpid()}")
        part.write_bytes(pickle.dumps(run))
        part.replace(path)
    found: Run | None = pickle.loads(path.read_bytes())
    return found


def search(
    table: Table, folder: str, task: str, method: str, seed: int, uncapped: bool
) -> Run | None:
    """One search until the budget of distinct designs is spent; ``None`` where no bank is left."""
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    evaluator = evaluator_of(table, task)
    sampler = _sampler(table, folder, task, method, seed)
    if sampler is None:
        return None
    budget = len(evaluator.table) if uncapped else table.budget
    study = optuna.create_study(sampler=sampler, direction="maximize")
    known: dict[Any, tuple[float, float]] = {}
    for _ in range(10 * budget):
        if len(known) >= budget:
            break
        trial = study.ask()
        config = evaluator.space.suggest(trial)
        try:
            outcome = evaluator(config)
        except BequestError:  # the nine points that only skip
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            continue
        study.tell(trial, outcome.value)
        test = outcome.metrics.get(f"test_{evaluator.task.metric}", float("nan"))
        known.setdefault(evaluator.key(config), (outcome.value, test))
    return _measured(evaluator, list(known.values()), task, method, seed, budget)


def _measured(
    evaluator: TableEvaluator,
    found: list[tuple[float, float]],
    task: str,
    method: str,
    seed: int,
    budget: int,
) -> Run:
    values = np.array([v for v, _ in found])
    everything = np.array([o.value for o in evaluator.table.values()])
    best, median = everything.max(), np.median(everything)
    reached = {}
    for level, bar in thresholds(evaluator).items():
        hits = np.flatnonzero(values >= bar)
        reached[level] = int(hits[0]) + 1 if len(hits) else budget + 1
    regret, test = {}, {}
    for k in KS:
        chosen = int(values[:k].argmax())
        regret[k] = float((best - values[chosen]) / (best - median))
        test[k] = found[chosen][1]
    return Run(task, method, seed, reached, regret, test)


def _sampler(
    table: Table, folder: str, task: str, method: str, seed: int
) -> optuna.samplers.BaseSampler | None:
    space = evaluator_of(table, task).space
    if method == "optuna-gp":
        return optuna.samplers.GPSampler(seed=seed)
    if method not in INHERITING:
        return make_sampler(method, space, seed)
    scores = inherited(table, folder, task)
    if not scores.tasks:
        return None
    if method == "transfer":
        return TransferGPSampler(space, TransferPrior(scores), seed=seed)
    prior = DesignPrior(scores, similarity(table, folder, task))
    return AutoTransferSampler(space, prior, seed=seed)


def summarise(runs: list[Run], result: Result, budget: int) -> dict[tuple[str, str, str], float]:
    """Rows by task and over all of them; the means by (method, task, what)."""
    means: dict[tuple[str, str, str], float] = {}
    tasks = list(dict.fromkeys(run.task for run in runs))
    for method in dict.fromkeys(run.method for run in runs):
        for task in (*tasks, "all"):
            mine = [r for r in runs if r.method == method and task in (r.task, "all")]
            groups = [tasks.index(r.task) for r in mine] if task == "all" else None
            base = {"task": task, "method": method, "seeds": len({r.seed for r in mine})}
            for level in mine[0].reached:
                counts = [r.reached[level] for r in mine]
                summary = Summary.of(counts, groups)
                share = float(np.mean([c <= budget for c in counts]))
                row = {**base, "level": level, **summary.row(), "share_reached": round(share, 3)}
                result.rows.append({**row, "censored_at": budget + 1})
                means[method, task, level] = summary.mean
            for k in KS:
                regret = Summary.of([r.regret[k] for r in mine], groups)
                row = {**base, "k": k, "regret": round(regret.mean, 4), **regret.row()}
                test = float(np.mean([r.test[k] for r in mine]))
                result.rows.append({**row, "test": None if np.isnan(test) else round(test, 4)})
                means[method, task, f"regret{k}"] = regret.mean
                means[method, task, f"test{k}"] = test
    return means


def earlier(path: str, result: Result) -> dict[tuple[str, str, str], float]:
    """Rows of an earlier run for the methods that are not run now; the means in them."""
    ran = {row["method"] for row in result.rows}
    means = {}
    for row in json.loads(Path(path).read_text())["rows"]:
        if row["method"] in ran:
            continue
        result.rows.append({**row, "run": "earlier"})
        key = row["method"], row["task"]
        if "level" in row:
            means[*key, row["level"]] = row["mean"]
        else:
            means[*key, f"regret{row['k']}"] = row["regret"]
            means[*key, f"test{row['k']}"] = math.nan if row["test"] is None else row["test"]
    return means


def claims(table: Table, means: dict[tuple[str, str, str], float], result: Result) -> None:
    """The bars that were set before the first run."""
    level = "top1pct" if table.kind == "nas-bench-graph" else "best"
    got = means["transfer", "all", level]
    if table.kind == "nas-bench-graph" and table.bank != "negative":
        result.claim("transfer: mean designs to the top 1 %", got, 9, "lower")
        result.claim("a quarter of random's", got, means["random", "all", level] / 4, "lower")
        for rival in ("random", "tpe", "evolution"):
            name = f"test metric after 3 trials, {rival}'s after 30 as the bar"
            result.claim(
                name, means["transfer", "all", "test3"], means[rival, "all", "test30"], "higher"
            )
    if table.kind == "graphgym" and table.bank != "negative":
        most = 11 if table.bank == "real" else 7
        result.claim(f"transfer: mean designs to the best of 96 ({table.bank})", got, most, "lower")
        if table.bank == "real":
            regret = means["transfer", "all", "regret3"]
            result.claim("transfer: normalised regret after 3 trials", regret, 0.25, "lower")
    tasks = {task for method, task, _ in means if method == "transfer" and task != "all"}
    ratios = {t: means["transfer", t, level] / means["gp", t, level] for t in sorted(tasks)}
    worst = max(ratios, key=lambda t: ratios[t])
    result.claim(
        f"designs beside the plain GP's, worst task ({worst})", ratios[worst], 1.1, "lower"
    )


def main() -> None:
    """Run all searches, then print and write what they found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--table", required=True)
    parser.add_argument("--tasks")
    parser.add_argument("--methods", default=",".join(METHODS))
    parser.add_argument("--bank", choices=("real", "all", "negative"), default="all")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--uncapped", action="store_true", help="search on until the best is found")
    parser.add_argument("--earlier", help="a result whose rows stand for methods not run now")
    parser.add_argument("--work", type=Path, help="where searches are kept; else nowhere")
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    columns = pd.read_parquet(args.table).columns
    kind = "nas-bench-graph" if "link0" in columns else "graphgym"
    table = Table(str(Path(args.table).resolve()), kind, args.bank)
    result = Result("transfer_trials")
    if args.work:
        args.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank(f"sqlite:///{folder}/bank.db")
        fill = getattr(exchange, f"import_{kind.replace('-', '_')}")
        fill(bank, args.table)
        tasks = args.tasks.split(",") if args.tasks else tasks_of(table)
        jobs = [
            (table, folder, task, method, seed, args.uncapped, str(args.work or folder))
            for method in args.methods.split(",")
            for task in tasks
            for seed in range(1 if method == "transfer" else args.seeds)
        ]
        with ProcessPoolExecutor(args.workers, mp_context=get_context("spawn")) as pool:
            found = list(pool.map(kept, *zip(*jobs, strict=True), chunksize=4))
    runs = [run for run in found if run is not None]
    alone = {run.task for run in runs if run.method == "transfer"}
    if alone:  # a task to which no task of the bank is related says nothing of transfer
        runs = [run for run in runs if run.task in alone]
    means = summarise(runs, result, table.budget)
    if args.earlier:
        means |= earlier(args.earlier, result)
    if ("transfer", "all", "best") in means and ("gp", "all", "best") in means:
        claims(table, means, result)
    result.write(args.out)


if __name__ == "__main__":
    main()
