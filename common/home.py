"""Where Bequest keeps what must outlive a process: ``BEQUEST_HOME``, by default ``~/.bequest``."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from .errors import BequestError

LONGEST = 246
"""Bytes of a file's name that are ours: file systems take 255, and a key comes behind them."""


def home() -> Path:
    """The folder of `studies.db`, `mlflow.db`, `artifacts/` and `datasets/`; made where missing.

    Raises:
        BequestError: It is no folder, and cannot be made.
    """
    folder = Path(os.environ.get("BEQUEST_HOME") or Path.home() / ".bequest").expanduser()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise BequestError(
            f"the Bequest home {str(folder)!r} cannot be made ({error.strerror}): set BEQUEST_HOME "
            "to a folder that can be written"
        ) from error
    return folder.resolve()


def file_name(name: str) -> str:
    """A name (of a study, say) as one of a file: in one folder, and not too long."""
    safe = name.replace("/", "_")
    if len(safe.encode()) <= LONGEST:
        return safe
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{safe.encode()[: LONGEST - 9].decode(errors='ignore')}-{digest}"
