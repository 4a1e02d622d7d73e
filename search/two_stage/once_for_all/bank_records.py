"""What a joint search takes from a bank, and what it leaves there.

Networks in float32 are records of a space of architectures alone, so that the accuracies of another
task's teach a predictor about this one before it has measured anything; fine-tuned networks are
records of the elastic space itself, as trials are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ....banks.bank import Bank
from ....banks.record import Record, design_key, name_under, task_of
from ....evaluators.once_for_all.evaluator import ElasticEvaluator
from ....spaces import Space
from ....spaces.elastic_genes import Networks
from .collection import Collection
from .predictor import Samples

ENOUGH = 20
"""A task with fewer networks teaches nothing."""


def architectures(evaluator: ElasticEvaluator) -> Space:
    """The space of the evaluator's architectures, without bits."""
    return evaluator.geometry.space(f"{evaluator.space.name}-floats", bits=False)


def earlier(bank: Bank, evaluator: ElasticEvaluator, mark: int) -> list[Samples]:
    """What the networks of other tasks had in float32, one group a task.

    Args:
        bank: Where to look.
        evaluator: Whose task is new, and whose space counts.
        mark: What the bank has learned after this mark is not seen.
    """
    space = architectures(evaluator)
    own = name_under(evaluator.task.name, evaluator.conditions)
    scores = bank.scores(space, until=mark)[0].without([own])
    before = {design_key(space, config) for config in scores.configs}
    found = []
    for task in scores.tasks:
        if task.facts.get("task", task.name) == evaluator.task.name:
            continue  # under other conditions: its networks in float32 may be the same
        # The bank also reads fine-tuned networks as architectures: they had few bits.
        configs, values = [], []
        for its, record in bank.records(task.name, until=mark):
            if its != space or record.value is None:
                continue
            if design_key(space, record.config) in before:
                configs.append(record.config)
                values.append(record.value)
        if len(values) >= ENOUGH:
            networks = Networks.of(evaluator.geometry, configs)
            found.append(Samples(networks, np.array(values)))
    return found


def leave(
    bank: Bank,
    evaluator: ElasticEvaluator,
    seed: int,
    floats: Collection,
    quantised: Sequence[Collection],
) -> int:
    """Add what was measured to a bank; what is there already stays once.

    Returns:
        How many records were new.
    """
    own = evaluator.task
    task = task_of(own.name, own.metric, own.direction, own.describe(), evaluator.conditions)
    parts = []
    for collection, space, source in (
        (floats, architectures(evaluator), "cut from a once-for-all network"),
        *((some, evaluator.space, "fine-tuned for a predictor") for some in quantised),
    ):
        names = {parameter.name for parameter in space.parameters}
        records = []
        for row in collection.rows():
            config = {k: v for k, v in row["config"].items() if k in names}  # type: ignore[attr-defined]
            accuracy, seconds = float(row["accuracy"]), float(row["seconds"])  # type: ignore[arg-type]
            records.append(Record(config, accuracy, seed=seed, seconds=seconds, source=source))
        parts.append((task, space, records))
    return bank.append_all(parts)
