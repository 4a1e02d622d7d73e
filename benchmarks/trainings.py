"""Many trainings for a bank: measured in processes, kept line by line, packed as Parquet.

What was measured is kept in ``FOLDER/trainings.jsonl``, one line a training, so that a run can be
stopped at any time; what a packed bank already holds is not measured again.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from bequest.banks.bank import Bank
from bequest.banks.exchange import export_bank, import_bank
from bequest.banks.record import BankTask, Record, task_of
from bequest.evaluators.task import Evaluator, conditions_of
from bequest.spaces import Config, Space

CURVE_POINTS = 40
"""So many points of a learning curve are packed, the last one among them."""

Row = dict[str, Any]
Job = tuple[str, Config, str, str | None]
"""Task, configuration, the task that it was bred for, data root."""


class OverTime(Exception):
    """A training took longer than it may."""


def key(task: str, config: Config) -> str:
    """A name for one training."""
    text = json.dumps([task, config], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def train(evaluator: Evaluator, job: Job, seconds: float) -> Row:
    """Train one configuration with seed 0; errors and an end for its time are part of the row.

    Args:
        evaluator: Of the job's task.
        job: What to train.
        seconds: CPU time after which it is stopped; its curve so far is then its result.
    """
    task, config, origin, _ = job
    row: Row = {"key": key(task, config), "task": task, "config": config}
    row |= {"origin": origin, "seed": 0, "value": None, "metrics": {}, "error": None}
    curve: dict[int, float] = {}
    began = time.process_time()

    def report(step: int, value: float) -> None:
        curve[step] = value
        if multiprocessing.parent_process() is not None and os.getppid() == 1:
            os._exit(1)  # the run was killed: nobody is left to take the result
        if time.process_time() - began > seconds:
            raise OverTime

    try:
        outcome = evaluator(config, seed=0, report=report)
        row |= {"value": outcome.value, "metrics": outcome.metrics}
    except OverTime:
        row["error"] = f"stopped after {seconds:.0f} s"
    except Exception as error:  # as a study: one training's failure is no reason to stop
        row["error"] = f"{type(error).__name__}: {error}"
    row["curve"] = {step: round(value, 4) for step, value in curve.items()}
    row["seconds"] = round(time.process_time() - began, 2)
    return row


# Running ------------------------------------------------------------------------------------------


def read(work: Path, packed: Path) -> list[Row]:
    """What was packed or measured so far; a last line that a kill cut off is left out."""
    path = work / "trainings.jsonl"
    rows = {row["key"]: row for row in read_packed(packed)}
    for line in path.read_text().splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except json.JSONDecodeError:
            continue
        rows[row["key"]] = row
    return list(rows.values())


def read_packed(folder: Path) -> Iterator[Row]:
    """The trainings of a packed bank."""
    if not (folder / "bank.json").exists():
        return
    with tempfile.TemporaryDirectory() as place:
        bank = Bank(f"sqlite:///{place}/bank.db")
        import_bank(bank, folder)
        for task in bank.tasks:
            name = task.facts.get("task", task.name)
            for _, record in bank.records(task.name):
                row = asdict(record)
                yield row | {"key": key(name, record.config), "task": name}


def measure_all(
    what: str, measure: Callable[[Job], Row], left: Sequence[Job], work: Path, processes: int
) -> None:
    """Measure jobs in processes, in their order, and keep what they find.

    Args:
        what: A name for people.
        measure: Measures one; a function of a module's.
        left: What is to be measured.
        work: Where to keep it.
        processes: How many.
    """
    work.mkdir(parents=True, exist_ok=True)
    print(f"{what}: {len(left)} trainings left", flush=True)
    context = multiprocessing.get_context("spawn")
    ignore = (signal.SIGINT, signal.SIG_IGN)
    with (
        context.Pool(processes, signal.signal, ignore, maxtasksperchild=40) as pool,
        (work / "trainings.jsonl").open("a") as file,
    ):
        file.write("\n")  # ends a line that a kill has cut off
        began = time.time()
        for i, row in enumerate(pool.imap_unordered(measure, left), 1):
            file.write(json.dumps(row) + "\n")
            file.flush()
            if i % 10 == 0:
                ahead = (time.time() - began) / i * (len(left) - i)
                print(f"{i}/{len(left)}, {ahead / 60:.0f} min left ({row['task']})", flush=True)


# Packing ------------------------------------------------------------------------------------------

Part = tuple[BankTask, Space, list[Record]]


def part(evaluator: Evaluator, space: Space, rows: Iterable[Row]) -> Part:
    """One task's trainings as a bank takes them."""
    task = evaluator.task
    facts, conditions = task.describe(), conditions_of(evaluator)
    records = [
        Record(
            row["config"],
            row["value"],
            {k: float(f"{v:.5g}") for k, v in row["metrics"].items()},
            seed=row["seed"],
            seconds=row["seconds"],
            curve=_thinned({int(k): v for k, v in row["curve"].items()}),
            error=row["error"],
            source="bundled",
            origin=row["origin"],
        )
        for row in rows
    ]
    return task_of(task.name, task.metric, task.direction, facts, conditions), space, records


def pack(parts: list[Part], fingerprints: list[tuple[str, str, Any]], folder: Path) -> int:
    """Write tasks as Parquet; return how many records there are."""
    with tempfile.TemporaryDirectory() as place:
        bank = Bank(f"sqlite:///{place}/bank.db")
        bank.append_all(parts, fingerprints)
        return export_bank(bank, folder)


def _thinned(curve: dict[int, float]) -> dict[int, float]:
    steps = sorted(curve)
    if len(steps) <= CURVE_POINTS:
        return curve
    kept = np.unique(np.geomspace(1, len(steps), CURVE_POINTS).round().astype(int)) - 1
    return {steps[i]: curve[steps[i]] for i in kept}
