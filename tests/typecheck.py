"""``python -m tests.typecheck``: mypy on the package, whose root is the repository's root.

mypy must see the checkout under the package's name: a link named ``bequest`` in a temporary folder
does that, and being started at the root it finds its settings in ``setup.cfg``.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """Run mypy and return its exit status."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "bequest").symlink_to(ROOT, target_is_directory=True)
        environment = {**os.environ, "MYPYPATH": folder}
        command = [sys.executable, "-m", "mypy", "-p", "bequest"]
        return subprocess.call(command, cwd=ROOT, env=environment)


if __name__ == "__main__":
    sys.exit(main())
