"""The bank that ships with the package, as Parquet; made by ``python -m benchmarks.build_bank``."""

from __future__ import annotations

from pathlib import Path

from ..bank import Bank
from ..exchange import import_bank, version_of

FOLDER = Path(__file__).parent
MARK = "bundled"


def import_bundled(bank: Bank) -> int:
    """Add the bundled records to a bank, once for each version of them.

    Returns:
        How many records were new.
    """
    if not (FOLDER / "bank.json").exists():
        return 0
    version = version_of(FOLDER)
    if bank.note(MARK) == version:
        return 0
    added = import_bank(bank, FOLDER)
    bank.set_note(MARK, version)
    return added
