"""Part ``bank`` of `peft_search`: what the bundled bank of texts saves, replayed on its records.

Each of its tasks is left out in turn and searched again among the configurations that were
measured, as ``bequest bank check`` does; a trial is good when it is one of the best two. Tasks that
have another's texts are left out altogether.
"""

from __future__ import annotations

import argparse

import numpy as np

from bequest.banks.bank import Bank
from bequest.banks.bundled import TEXTS
from bequest.banks.exchange import import_bank
from bequest.search.transfer.replay import METHODS, leave_one_task_out

from .harness import Result, Summary
from .peft_trials import KIN, TRIALS


def saving(args: argparse.Namespace, result: Result) -> None:
    """Trials until a good one, by method; what the bank saves of them, over tasks."""
    bank = Bank("sqlite://")
    import_bank(bank, TEXTS)
    (space,) = bank.spaces()
    kin = {other for others in KIN.values() for other in others}
    out = [task.name for task in bank.tasks if task.facts.get("task", task.name) in kin]
    runs = list(
        leave_one_task_out(bank.scores(space)[0].without(out), budget=TRIALS, seeds=args.seeds)
    )
    tasks = list(dict.fromkeys(run.task for run in runs))
    means: dict[str, list[float]] = {}
    for method in METHODS:
        for task in tasks:
            trials = [r.trials for r in runs if (r.task, r.method) == (task, method)]
            means.setdefault(method, []).append(float(np.mean(trials)))
            row = {"what": "trials to one of the best 2", "task": task, "method": method}
            result.rows.append(row | Summary.of(trials).row())
        row = {"what": "trials to one of the best 2", "task": "all", "method": method}
        result.rows.append(row | Summary.of(means[method]).row())
    for rival in ("random", "gp"):
        saved = np.subtract(means[rival], means["transfer"])
        row = {"what": "trials saved", "task": "all", "method": rival}
        summary = Summary.of(saved)
        result.rows.append(row | summary.row())
        name = f"trials saved beside {rival}: the low end of the interval over tasks"
        result.claim(name, summary.low, 1e-6, "higher")
