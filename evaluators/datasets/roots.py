"""Where data is looked for: the folder that the user names, then ``BEQUEST_DATA``'s."""

from __future__ import annotations

import os
from pathlib import Path

ROOT_VARIABLE = "BEQUEST_DATA"


def roots(data_root: Path | None) -> list[Path]:
    """The folders to search: the user's, then the environment's; each may hold datasets/."""
    variable = os.environ.get(ROOT_VARIABLE)
    named = [data_root, Path(variable) if variable else None]
    return [folder for root in named if root is not None for folder in (root, root / "datasets")]
