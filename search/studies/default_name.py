"""The default name of a study: searches that are alike have one name, and resume one study."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ...banks.bank import NO_BANK, Bank
from ...evaluators.task import Evaluator, conditions_of, limits_of

NO_PRUNER = "none"
"""The default pruner."""

LONGEST = 60
"""Characters of the conditions in a study's name; longer ones are replaced by a digest."""


def default_name(
    evaluator: Evaluator,
    method: Sequence[str],
    minimize: Sequence[str],
    seed: int,
    *,
    bank: str | Bank | bool | None = None,
    uses_bank: bool = False,
    pruner: str = NO_PRUNER,
) -> str:
    """The name, made of everything that tells one search from another.

    Args:
        evaluator: The study's.
        method: The sampler's name, and its settings where they are not the usual ones.
        minimize: Metrics that are objectives, too.
        seed: The study's.
        bank: As `Study` takes it; part of the name if the sampler uses it and it is not the home's.
        uses_bank: Whether the sampler does.
        pruner: By name; part of the name if there is one.
    """
    parts = [f"{key}-{value}" for key, value in conditions_of(evaluator).items()]
    for name, value in limits_of(evaluator).items():
        parts.append(f"{name}-{int(value) if float(value).is_integer() else value}")
    conditions = "-".join(parts).replace("/", "_")
    if len(conditions) > LONGEST:
        conditions = "conditions-" + hashlib.sha256(conditions.encode()).hexdigest()[:8]
    bank_part = _bank_in_name(bank) if uses_bank and not minimize else ""
    pruner_part = "" if pruner == NO_PRUNER else pruner
    searched = [evaluator.task.name, evaluator.space.name]
    parts = [*searched, *method, conditions, *minimize, bank_part, pruner_part, f"s{seed}"]
    return "-".join(part for part in parts if part)


def _bank_in_name(bank: str | Bank | bool | None) -> str:
    """The bank in a study's name, short and always the same; empty for the home's."""
    if bank is None or bank is True:
        return ""
    if bank is False or bank == NO_BANK:
        return "no-bank"
    url = bank if isinstance(bank, str) else bank.url
    return "bank-" + hashlib.sha256(url.encode()).hexdigest()[:8]
