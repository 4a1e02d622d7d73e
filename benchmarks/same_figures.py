"""Did a redesign change any figure? Two folders of results of the same commands, compared.

``python -m benchmarks.same_figures BEFORE AFTER --out FILE.json`` holds each result file of the
first folder against that of the same name in the second: every number of every row, but for times.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import Any

from .harness import Result

TIMES = ("seconds", "_ms", "_s", "ms_")
"""What the names of machine-dependent columns contain."""


def compare(before: dict[str, Any], after: dict[str, Any]) -> dict[str, Any]:
    """How many numbers of two results were compared, and the largest difference.

    Raises:
        ValueError: They do not have the same rows.
    """
    if len(before["rows"]) != len(after["rows"]):
        raise ValueError(f"{len(before['rows'])} rows before, {len(after['rows'])} after")
    largest, count = 0.0, 0
    where = ""
    for old, new in zip(before["rows"], after["rows"], strict=True):
        if old.keys() != new.keys():
            raise ValueError(f"columns {sorted(old)} before, {sorted(new)} after")
        for name, value in old.items():
            if any(part in name for part in TIMES):
                continue
            if isinstance(value, str) or value is None or isinstance(value, bool):
                if value != new[name]:
                    raise ValueError(f"{name} was {value!r}, is {new[name]!r}")
                continue
            for a, b in zip(_numbers(value), _numbers(new[name]), strict=True):
                count += 1
                difference = 0.0 if a == b or (math.isnan(a) and math.isnan(b)) else abs(a - b)
                if not difference <= largest:
                    largest = difference
                    labels = {k: v for k, v in old.items() if isinstance(v, str)}
                    where = f"{name} of {labels}: {a} before, {b} after"
    return {"numbers": count, "largest": largest, "where": where}


def _numbers(value: Any) -> list[float]:
    return [float(x) for x in value] if isinstance(value, list) else [float(value)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--out")
    args = parser.parse_args()
    result = Result("same_figures")
    for path in sorted(args.before.glob("*.json")):
        before = json.loads(path.read_text())
        after = json.loads((args.after / path.name).read_text())
        row = {"file": path.name, "command": before["command"], **compare(before, after)}
        result.rows.append(row)
        result.claim(f"{path.stem}: largest difference", row["largest"], 0.0, "lower")
    result.write(args.out)


if __name__ == "__main__":
    main()
