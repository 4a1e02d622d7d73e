"""Make the bank of fine-tuning configurations that ships: the same ones on ten tasks of texts.

``python -m benchmarks.build_text_bank --data-root DATA --work FOLDER [--processes 2]``. It can be
stopped and run again at any time (see `trainings`). The default of each method comes first, then
draws from the whole space; 500 training texts, three epochs, on MiniLM. ``--pack`` writes what is
there into ``banks/bundled/texts``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from bequest.banks.bundled import TEXTS
from bequest.evaluators import load_task
from bequest.evaluators.peft.space import peft_space, usual_methods
from bequest.evaluators.text.evaluator import TextEvaluator
from bequest.evaluators.text.training import TextBudget
from bequest.spaces import Config

from .peft_methods import TASKS, default_of
from .trainings import Job, Row, key, measure_all, pack, part, read, train

CONFIGS = 48
BLOCK = 8
"""Tasks take turns after so many configurations, so that a bank is there early."""

BUDGET = TextBudget(epochs=3, examples=500)
SECONDS = 240.0
"""CPU time after which a training is stopped."""

LEAST = 40
"""A task with fewer configurations is not packed."""


def configs(n: int = CONFIGS) -> list[Config]:
    """The defaults of the usual methods, then draws."""
    space = peft_space()
    found = [default_of(method) for method in usual_methods()]
    rng = np.random.default_rng(20261124)
    return found + [space.sample(rng) for _ in range(n - len(found))]


def jobs(tasks: Sequence[str], done: set[str], root: str | None) -> Iterator[Job]:
    """What is left to do."""
    every = configs()
    for start in range(0, len(every), BLOCK):
        for task in tasks:
            for config in every[start : start + BLOCK]:
                if key(task, config) not in done:
                    yield task, config, "", root


_loaded: dict[str, TextEvaluator] = {}


def measure(job: Job) -> Row:
    """Train one configuration on one task."""
    task, root = job[0], job[3]
    if task not in _loaded:
        _loaded.clear()
        _loaded[task] = _evaluator(task, root)
    return train(_loaded[task], job, SECONDS)


def _evaluator(task: str, root: str | None) -> TextEvaluator:
    return TextEvaluator(load_task(task, root), budget=BUDGET)


def main() -> None:
    """Measure what is missing, or pack what there is."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--data-root", default=os.environ.get("BEQUEST_DATA"))
    parser.add_argument("--work", type=Path, default=Path("build/text_bank"))
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--pack", type=Path, metavar="FOLDER", help="write Parquet, train nothing")
    args = parser.parse_args()
    rows = read(args.work, TEXTS)
    if args.pack is None:
        left = list(jobs(args.tasks, {row["key"] for row in rows}, args.data_root))
        measure_all("configurations", measure, left, args.work, args.processes)
        return
    parts, fingerprints = [], []
    for name in args.tasks:
        mine = [row for row in rows if row["task"] == name]
        if len(mine) >= LEAST:
            evaluator = _evaluator(name, args.data_root)
            own = part(evaluator, peft_space(), mine)
            parts.append(own)
            described = evaluator.fingerprints()
            fingerprints += [
                (own[0].name, kind, list(vector)) for kind, vector in described.items()
            ]
    print(f"wrote {pack(parts, fingerprints, args.pack)} records to {args.pack}")


if __name__ == "__main__":
    main()
