"""What all benchmarks share: intervals, the machine they ran on, and one form of result.

A result is a JSON file ``{"benchmark", "command", "machine", "versions", "seconds", "rows",
"claims"}``. A row names what it measured. A claim holds a figure against its bar; one that does not
hold is written as such, and stays.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shlex
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

Row = dict[str, Any]

PACKAGES = ("bequest", "optuna", "botorch", "gpytorch", "torch", "numpy", "scipy")
RESAMPLES = 2000


class Benchmark:
    """Collects rows and claims, prints them and writes the file.

    Args:
        name: The benchmark's name, which is its module's.

    Example:
        >>> benchmark = Benchmark("doctest")
        >>> benchmark.add(what="answer", value=42.0)
        >>> benchmark.claim("answer", 42.0, 50.0, better="lower")
        >>> benchmark.claims[0]["holds"]
        True
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.rows: list[Row] = []
        self.claims: list[Row] = []
        self._started = time.perf_counter()

    def add(self, **row: Any) -> None:
        """Add a flat record."""
        self.rows.append(row)

    def claim(self, name: str, value: float, bar: float, *, better: str) -> None:
        """Hold a figure against its bar; ``better`` is ``"lower"`` or ``"higher"``."""
        holds = value <= bar if better == "lower" else value >= bar
        self.claims.append(
            {"name": name, "value": value, "bar": bar, "better": better, "holds": bool(holds)}
        )

    def result(self) -> dict[str, Any]:
        """The record that `write` saves."""
        return {
            "benchmark": self.name,
            "command": command(),
            "machine": machine(),
            "versions": versions(),
            "seconds": round(time.perf_counter() - self._started, 1),
            "rows": self.rows,
            "claims": self.claims,
        }

    def write(self, path: Path | None) -> None:
        """Print the claims and, where a path is given, save the result."""
        show("claims", self.claims)
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(self.result(), indent=1, allow_nan=False) + "\n")


def interval(samples: Sequence[Sequence[float]], *, seed: int = 0) -> tuple[float, float, float]:
    """Mean over groups of the groups' means, with its 95 % bootstrap interval.

    Args:
        samples: Groups (tasks) of samples (runs); samples are drawn anew within each group.
        seed: Of the bootstrap.

    Returns:
        Mean, low, high.
    """
    rng = np.random.default_rng(seed)
    groups = [np.asarray(group, dtype=float) for group in samples]
    drawn = [g[rng.integers(len(g), size=(RESAMPLES, len(g)))].mean(axis=1) for g in groups]
    low, high = np.quantile(np.mean(drawn, axis=0), [0.025, 0.975])
    return float(np.mean([g.mean() for g in groups])), float(low), float(high)


def command() -> str:
    """How this process was started, without the places of this machine."""
    words = [Path(word).name if os.sep in word else word for word in sys.argv[1:]]
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = ["-m", spec.name] if spec else [Path(sys.argv[0]).name]
    return shlex.join(["python", *module, *words])


def machine() -> dict[str, Any]:
    """Processor, cores, system, Python, and the threads each process may use."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.split(":")[1].strip() for line in lines if "model name" in line), "")


def versions() -> dict[str, str]:
    """The versions of the packages that decide."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def show(title: str, rows: Sequence[Row]) -> None:
    """Print rows as a table whose columns are those of the first row."""
    table = Table(title=title)
    names = list(rows[0]) if rows else []
    for name in names:
        table.add_column(name)
    for row in rows:
        table.add_row(*(_text(row.get(name)) for name in names))
    Console(width=140).print(table)


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
