"""The banks that ship with the package, as Parquet.

``graphs`` is made by ``python -m benchmarks.build_bank``, ``texts`` (fine-tuning configurations) by
``python -m benchmarks.build_text_bank``.
"""

from __future__ import annotations

from pathlib import Path

from ..bank import Bank
from ..exchange import import_bank, version_of

GRAPHS = Path(__file__).parent / "graphs"
TEXTS = Path(__file__).parent / "texts"
FOLDERS = (GRAPHS, TEXTS)


def import_bundled(bank: Bank) -> int:
    """Add the bundled records to a bank, once for each version of them.

    Returns:
        How many records were new.
    """
    return sum(_import_one(bank, folder) for folder in FOLDERS)


def _import_one(bank: Bank, folder: Path) -> int:
    if not (folder / "bank.json").exists():
        return 0
    version, mark = version_of(folder), f"bundled {folder.name}"
    if bank.note(mark) == version:
        return 0
    added = import_bank(bank, folder)
    bank.set_note(mark, version)
    return added
