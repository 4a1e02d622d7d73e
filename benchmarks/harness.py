"""What all benchmarks share: how a result is written, and how means get their intervals."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student

LIBRARIES = ("torch", "torch_geometric", "optuna", "botorch", "gpytorch", "mlflow", "numpy")


@dataclass
class Result:
    """One benchmark's rows and claims, gathered while it runs.

    Args:
        benchmark: The benchmark's name.
    """

    benchmark: str
    rows: list[dict[str, Any]] = field(default_factory=list)
    claims: list[dict[str, Any]] = field(default_factory=list)
    started: float = field(default_factory=time.time)

    def claim(self, name: str, value: float, bar: float, better: str) -> None:
        """Set a figure beside its bar; a claim that does not hold is written as such.

        Args:
            name: What is claimed.
            value: What was measured.
            bar: What it is held against.
            better: ``"lower"`` or ``"higher"``.
        """
        holds = value <= bar if better == "lower" else value >= bar
        self.claims.append(
            {"name": name, "value": value, "bar": bar, "better": better, "holds": bool(holds)}
        )

    def write(self, path: str | None) -> None:
        """Print the tables and write the JSON."""
        _print(self.rows, self.benchmark)
        _print(self.claims, "claims")
        if path is None:
            return
        document = {
            "benchmark": self.benchmark,
            "command": " ".join(["python -m", f"benchmarks.{self.benchmark}", *_arguments()]),
            "machine": machine(),
            "versions": {"python": platform.python_version(), **_versions()},
            "seconds": round(time.time() - self.started, 1),
            "rows": self.rows,
            "claims": self.claims,
        }
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text(json.dumps(document, indent=1) + "\n")


def _arguments() -> list[str]:
    """The command's arguments, files by their names: where they lay says nothing elsewhere."""
    return [Path(a).name if "/" in a and Path(a).exists() else a for a in sys.argv[1:]]


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = platform.processor()
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((x.split(":")[1].strip() for x in lines if x.startswith("model name")), model)
    return {"system": platform.system(), "cpu": model, "cores": os.cpu_count()}


def _versions() -> dict[str, str]:
    return {name: metadata.version(name) for name in LIBRARIES}


@dataclass(frozen=True)
class Summary:
    """Mean with its 95 % interval, median."""

    mean: float
    low: float
    high: float
    median: float

    @classmethod
    def of(cls, values: Sequence[float], groups: Iterable[int] | None = None) -> Summary:
        """Summarise values; the interval is Student's, over groups' means (tasks) or the values.

        (A bootstrap of four or five means covers 80 to 84 % where it says 95.)
        """
        data = np.asarray(values, dtype=float)
        keys = np.arange(len(data)) if groups is None else np.asarray(list(groups))
        means = np.array([data[keys == key].mean() for key in np.unique(keys)])
        half = 0.0
        if len(means) > 1:
            spread = means.std(ddof=1) / np.sqrt(len(means))
            half = float(student.ppf(0.975, len(means) - 1) * spread)
        middle = means.mean()
        found = (data.mean(), middle - half, middle + half, np.median(data))
        return cls(*(round(float(v), 4) for v in found))

    def row(self) -> dict[str, float]:
        """As columns of a result row."""
        return asdict(self)


def _print(rows: list[dict[str, Any]], title: str) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    table = Table(*columns, title=title)
    for row in rows:
        table.add_row(*(_cell(row.get(name)) for name in columns))
    console = Console()
    if not console.is_terminal:
        console.width = 200
    console.print(table)


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else "" if value is None else str(value)
