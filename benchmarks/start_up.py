"""How long ``import bequest`` and light commands take, beside another installation of Bequest.

``python -m benchmarks.start_up OTHER_PYTHON --out FILE.json`` runs each in turn with both Pythons
and compares the smallest processor times, which other processes disturb least.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile

from .harness import Result

COMMANDS: dict[str, list[str]] = {
    "import bequest": ["-c", "import bequest"],
    "bequest --help": ["-m", "bequest", "--help"],
    "bequest search --help": ["-m", "bequest", "search", "--help"],
    "bequest tasks": ["-m", "bequest", "tasks"],
}


def seconds(command: list[str]) -> float:
    """Processor seconds of a command, run away from both clones."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(command, stdout=subprocess.DEVNULL, cwd=folder, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Run, compare, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("other", help="the Python of the other installation")
    parser.add_argument("--repeats", type=int, default=20)
    parser.add_argument("--out")
    args = parser.parse_args()
    result = Result("start_up")
    for what, command in COMMANDS.items():
        pairs = [
            (seconds([args.other, *command]), seconds([sys.executable, *command]))
            for _ in range(args.repeats)
        ]
        other, own = (min(column) for column in zip(*pairs, strict=True))
        row = {"what": what, "other_seconds": round(other, 4), "seconds": round(own, 4)}
        result.rows.append(row)
        result.claim(f"{what}: own time over the other's", round(own / other, 3), 1.0, "lower")
    result.write(args.out)


if __name__ == "__main__":
    main()
