"""Where Bequest keeps what must outlive a process: ``BEQUEST_HOME``, by default ``~/.bequest``."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of `studies.db`, `mlflow.db`, `artifacts/` and `datasets/`; made where missing."""
    folder = Path(os.environ.get("BEQUEST_HOME") or Path.home() / ".bequest").expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    return folder.resolve()
