"""What a once-for-all search takes from a bank, and what it adds.

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


def source_samples(bank: Bank, evaluator: ElasticEvaluator, revision: int) -> list[Samples]:
    """The accuracies of other tasks' networks in float32, one group a task.

    Args:
        bank: Where to look.
        evaluator: Whose task is new, and whose space counts.
        revision: Records that the bank got after this revision are not seen.
    """
    space = architectures(evaluator)
    target = name_under(evaluator.task.name, evaluator.conditions)
    scores = bank.scores(space, until=revision)[0].without([target])
    before = {design_key(space, config) for config in scores.configs}
    samples_by_task = []
    for task in scores.tasks:
        if task.facts.get("task", task.name) == evaluator.task.name:
            continue  # under other conditions: its networks in float32 may be the same
        # The bank also reads fine-tuned networks as architectures: they had few bits.
        configs, values = [], []
        for its, record in bank.records(task.name, until=revision):
            if its != space or record.value is None:
                continue
            if design_key(space, record.config) in before:
                configs.append(record.config)
                values.append(record.value)
        if len(values) >= ENOUGH:
            networks = Networks.of(evaluator.geometry, configs)
            samples_by_task.append(Samples(networks, np.array(values)))
    return samples_by_task


def add_measurements(
    bank: Bank,
    evaluator: ElasticEvaluator,
    seed: int,
    floats: Collection,
    quantised: Sequence[Collection],
) -> int:
    """Add measured networks to a bank, each once however often this is called.

    Returns:
        How many records were new.
    """
    target = evaluator.task
    task = task_of(
        target.name, target.metric, target.direction, target.describe(), evaluator.conditions
    )
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
