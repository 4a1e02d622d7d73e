"""What a study is called that nobody has named: what is alike has one name, and is resumed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ...banks.bank import Bank
from ...evaluators.task import Evaluator, conditions_of, limits_of
from ..samplers import JOINT, uses_bank
from ..transfer.sources import NO_BANK

NO_PRUNER = "none"
"""The usual pruner."""

LONGEST = 60
"""Characters of the conditions in a study's name; longer ones are told apart by a digest."""


def usual_name(
    evaluator: Evaluator,
    method: Sequence[str],
    minimize: Sequence[str],
    seed: int,
    *,
    bank: str | Bank | bool | None = None,
    pruner: str = NO_PRUNER,
) -> str:
    """The name, made of whatever tells one search from another.

    Args:
        evaluator: The study's.
        method: The sampler's name, and what else tells it apart.
        minimize: Metrics that are objectives, too.
        seed: The study's.
        bank: As `Study` takes it; it is part of the name where the sampler starts from it and it is
            not the home's.
        pruner: By name; part of the name where there is one.
    """
    said = [f"{key}-{value}" for key, value in conditions_of(evaluator).items()]
    for name, value in limits_of(evaluator).items():
        said.append(f"{name}-{int(value) if float(value).is_integer() else value}")
    conditions = "-".join(said).replace("/", "_")
    if len(conditions) > LONGEST:
        conditions = "conditions-" + hashlib.sha256(conditions.encode()).hexdigest()[:8]
    where = [evaluator.task.name, evaluator.space.name]
    inherits = (uses_bank(method[0]) or method[0] == JOINT) and not minimize
    begins_with = _bank_in_name(bank) if inherits else ""
    pruned = "" if pruner == NO_PRUNER else pruner
    parts = [*where, *method, conditions, *minimize, begins_with, pruned, f"s{seed}"]
    return "-".join(part for part in parts if part)


def _bank_in_name(bank: str | Bank | bool | None) -> str:
    """The bank in a study's name, short and the same every time; nothing for the home's."""
    if bank is None or bank is True:
        return ""
    if bank is False or bank == NO_BANK:
        return "no-bank"
    place = bank if isinstance(bank, str) else bank.url
    return "bank-" + hashlib.sha256(place.encode()).hexdigest()[:8]
