"""Do tests fail when the code is wrong? Single changes of the code, each run against its tests.

``python -m benchmarks.mutants --count 200 --out FILE.json`` draws changes of ``search/``,
``banks/`` and ``evaluators/`` evenly over all their code, makes one at a time in a copy of the tree
and runs the tests of the changed module. A change is *killed* when a test fails or takes too long.

With ``--work FILE.jsonl`` every result is written down at once, and a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import queue
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.progress import track

from .harness import Result

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("search", "banks", "evaluators")
LEFT_OUT = (".git", ".venv", "benchmarks", "docs", "__pycache__", ".mypy_cache", ".ruff_cache")
BAR = 0.8

SLOW, SPARE = 3.0, 20.0
"""A module's tests may take so many times as long as without a change, and so many seconds more."""

_BANK, _OLD = "tests/banks/test_bank.py", "tests/banks/test_old_versions.py"
_AS_BEFORE = "test_proposals_are_those_of_version_0_1"
_GP = f"tests/search/samplers/test_gp.py::{_AS_BEFORE}"
_TRANSFER = f"tests/search/samplers/test_transfer_gp.py::{_AS_BEFORE}"
_SOURCES = "::test_sources_are_those_of_version_0_1"
_TWO_WAY = f"tests/search/task_selection/test_two_way_selector.py{_SOURCES}"
_PUBLISHED = f"tests/search/task_selection/test_published.py{_SOURCES}"
_SURROGATES = "search/surrogates"
ALSO: dict[str, tuple[str, ...]] = {
    **{f"{_SURROGATES}/{name}.py": (_GP,) for name in ("configurations", "kernels", "polish")},
    **{f"{_SURROGATES}/transfer_{name}.py": (_TRANSFER,) for name in ("prior", "process")},
    **{f"{_SURROGATES}/{name}.py": (_TWO_WAY,) for name in ("two_way", "rows")},
    f"{_SURROGATES}/isotropic.py": (_PUBLISHED,),
    "banks/appending.py": (_BANK,),
    "banks/bank.py": (_OLD,),
    "banks/exchange.py": (_OLD,),
    "banks/record.py": (_OLD,),
    "banks/schema.py": (_OLD, _BANK),
    "banks/scores.py": (_OLD, _BANK),
    "search/two_stage/one_shot/bilevel.py": ("tests/search/two_stage/one_shot/test_rarts.py",),
}
"""Tests of modules beside those of their own file: what stands on them, as it was before."""

MORE_TESTS: dict[str, tuple[str, ...]] = {
    "search/study.py": ("tests/search/test_study.py",),
    "search/two_stage/one_shot": ("tests/search/two_stage/one_shot",),
    "search/two_stage/once_for_all": ("tests/search/two_stage/once_for_all",),
    "evaluators/finetuning": (
        "tests/evaluators/finetuning",
        "tests/evaluators/text/test_evaluator.py",
    ),
    "evaluators/hardware": ("tests/evaluators/hardware",),
    "evaluators/peft": ("tests/evaluators/peft",),
    "evaluators/text": ("tests/evaluators/text",),
    "search/tracking": ("tests/search/tracking",),
}
"""Tests of modules without a test file of their own, by the beginning of the module's path."""

EQUIVALENT: dict[tuple[str, str, str], str] = {
    (
        "search/surrogates/rows.py",
        "gram, moment = centred.T @ centred, centred.T @ (row - row.mean())",
        "(row + row.mean())",
    ): "features are centred in each row: a constant added to the values changes no moment",
    (
        "search/surrogates/design_prior.py",
        "shares = 1 / np.maximum(distances, 0.01)",
        "2",
    ): "the shares are normalised in the next line",
    (
        "evaluators/task_families/control/environments.py",
        "wrapped = (angle + math.pi) % (2 * math.pi) - math.pi",
        "(angle - math.pi)",
    ): "a whole turn more before the remainder is taken",
    (
        "search/pareto.py",
        "first: np.ndarray = nondomination_rank(losses, n_below=1) == 0",
        "nondomination_rank(losses)",
    ): "later fronts are computed and not asked for",
    (
        "evaluators/finetuning/batches.py",
        "SCORING_BATCH = 64",
        "128",
    ): "what is scored at once changes the time, not the scores",
}
"""Changes that no test can see, with the reason, by (module, whole line before, code after)."""


# Changes ------------------------------------------------------------------------------------------

COMPARISONS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.GtE,
    ast.LtE: ast.Gt,
    ast.Gt: ast.LtE,
    ast.GtE: ast.Lt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.Pow: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.MatMult: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
NAMES = {
    "min": "max",
    "max": "min",
    "argmin": "argmax",
    "argmax": "argmin",
    "minimum": "maximum",
    "maximum": "minimum",
    "any": "all",
    "all": "any",
    "sum": "mean",
    "mean": "sum",
    "ceil": "floor",
    "floor": "ceil",
    "exp": "log1p",
    "cumsum": "cumprod",
}
NUMBERS = ("float", "int", "Tensor", "np.ndarray")
LEFT_ALONE = ("strict", "dtype", "help", "check_finite")
"""Arguments whose change is no change of what is computed."""

TEXTS = (ast.JoinedStr, ast.List, ast.Tuple, ast.ListComp, ast.Dict)


@dataclass(frozen=True)
class Mutant:
    """One change.

    Attributes:
        module: The changed file, below the root.
        line: Where, from 1.
        start, end: The bytes that are replaced.
        before, after: The code there.
        text: The whole line before.
    """

    module: str
    line: int
    start: int
    end: int
    before: str
    after: str
    text: str

    @property
    def key(self) -> str:
        """A name that no other change of the same tree has."""
        return f"{self.module}:{self.start}:{self.after}"


def mutants_of(module: str, source: str) -> list[Mutant]:
    """All changes of one module, in the order of its code."""
    tree = ast.parse(source)
    data = source.encode()
    lines, starts = source.splitlines(), [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def place(node: ast.expr) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            starts[node.lineno - 1] + node.col_offset,
            starts[node.end_lineno - 1] + node.end_col_offset,
        )

    changes: dict[str, Mutant] = {}
    for node, after in _changes(tree):
        start, end = place(node)
        before, text = data[start:end].decode(), lines[node.lineno - 1].strip()
        mutant = Mutant(module, node.lineno, start, end, before, after, text)
        changes.setdefault(mutant.key, mutant)
    return sorted(changes.values(), key=lambda m: (m.start, m.after))


def _changes(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Expressions and what replaces them; nothing in types, messages and descriptions."""
    for node in _code(tree):
        if isinstance(node, ast.Compare):
            yield from _compared(node)
        elif isinstance(node, ast.BoolOp):
            other = ast.Or() if isinstance(node.op, ast.And) else ast.And()
            yield node, _text(ast.BoolOp(other, node.values))
        elif isinstance(node, ast.BinOp) and type(node.op) in ARITHMETIC and not _is_text(node):
            yield node, _text(ast.BinOp(node.left, ARITHMETIC[type(node.op)](), node.right))
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub):
            yield node, _text(node.operand)
        elif isinstance(node, ast.Constant):
            yield from _other_constant(node)
        elif isinstance(node, ast.Call):
            yield from _called(node)
        elif isinstance(node, ast.If | ast.IfExp):
            yield node.test, f"(not {_text(node.test)})"
        elif isinstance(node, ast.FunctionDef) and _returns_number(node):
            for each in _code(node):
                if isinstance(each, ast.Return) and not _is_nothing(each.value):
                    yield each.value, f"(-{_text(each.value)})"


def _code(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes of a tree in which a change is one of behaviour."""
    for child in ast.iter_child_nodes(tree):
        if isinstance(child, ast.Raise | ast.Assert | ast.JoinedStr | ast.Import | ast.ImportFrom):
            continue
        if isinstance(child, ast.FunctionDef) and child.name in ("__repr__", "__str__"):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Call) and ast.unparse(child.func) in ("warnings.warn", "TypeVar"):
            continue
        if _is_annotation(tree, child):
            continue
        if isinstance(child, ast.keyword) and child.arg in LEFT_ALONE:
            continue
        yield child
        yield from _code(child)


def _is_annotation(parent: ast.AST, child: ast.AST) -> bool:
    if isinstance(parent, ast.AnnAssign | ast.arg):
        return child is parent.annotation
    if isinstance(parent, ast.FunctionDef):
        return child is parent.returns or child in parent.decorator_list
    return isinstance(parent, ast.ClassDef) and (
        child in parent.bases or child in parent.decorator_list
    )


def _text(node: ast.expr) -> str:
    return f"({ast.unparse(node)})"


def _compared(node: ast.Compare) -> Iterator[tuple[ast.expr, str]]:
    for i, op in enumerate(node.ops):
        ops = [*node.ops]
        ops[i] = COMPARISONS[type(op)]()
        yield node, _text(ast.Compare(node.left, ops, node.comparators))


def _is_text(node: ast.BinOp) -> bool:
    """Whether it joins texts or lists (or types), not numbers."""
    for side in (node.left, node.right):
        if isinstance(side, TEXTS) or (
            isinstance(side, ast.Constant) and isinstance(side.value, str)
        ):
            return True
    return False


def _other_constant(node: ast.Constant) -> Iterator[tuple[ast.expr, str]]:
    if isinstance(node.value, bool):
        yield node, str(not node.value)
    elif isinstance(node.value, int):
        yield node, str(node.value + 1 if node.value < 10 else 2 * node.value)
    elif isinstance(node.value, float):
        yield node, repr(2 * node.value if node.value else 1.0)


def _called(node: ast.Call) -> Iterator[tuple[ast.expr, str]]:
    function = node.func
    if isinstance(function, ast.Name) and function.id in NAMES and function.id != "sum":
        yield function, NAMES[function.id]
    elif isinstance(function, ast.Attribute) and function.attr in NAMES:
        yield function, ast.unparse(ast.Attribute(function.value, NAMES[function.attr], ast.Load()))
    for keyword in node.keywords:
        if keyword.arg is not None and keyword.arg not in LEFT_ALONE:
            others = [k for k in node.keywords if k is not keyword]
            yield node, ast.unparse(ast.Call(function, node.args, others))


def _is_nothing(value: ast.expr | None) -> bool:
    """Whether its negative is the same: None, 0."""
    return value is None or (isinstance(value, ast.Constant) and not value.value)


def _returns_number(node: ast.FunctionDef) -> bool:
    return node.returns is not None and ast.unparse(node.returns) in NUMBERS


# Running ------------------------------------------------------------------------------------------


def own_tests(module: str, root: Path = ROOT) -> list[str]:
    """The test files of a module: its mirror, or those of its folder that import it."""
    path = Path("tests") / module
    mirror = path.with_name(f"test_{path.name.strip('_')}")
    if (root / mirror).exists():
        return [str(mirror), *ALSO.get(module, ())]
    name = "bequest." + module.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    folders = [path.parent, *path.parent.parents][: len(path.parts) - 1]
    for folder in folders:
        files = sorted((root / folder).glob("test_*.py")) if (root / folder).is_dir() else []
        files += sorted((root / folder).glob("*/test_*.py")) if folder != Path("tests") else []
        using = [f for f in files if f"{name} " in f.read_text().replace("\n", " ")]
        if using:
            return [str(f.relative_to(root)) for f in using]
    for beginning, tests in MORE_TESTS.items():
        if module.startswith(beginning):
            return list(tests)
    folder = next(f for f in folders if (root / f).is_dir())
    return [str(folder)]


@dataclass(frozen=True)
class Outcome:
    """What became of a mutant: ``killed``, ``timeout`` or ``survived``."""

    key: str
    what: str
    seconds: float
    tests: list[str]


class Laboratory:
    """A copy of the tree, in which one change at a time is made and tested."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "bequest"
        shutil.copytree(ROOT, self.root, ignore=shutil.ignore_patterns(*LEFT_OUT))
        self.environment = {
            **os.environ,
            "PYTHONPATH": str(folder),
            "PYTHONDONTWRITEBYTECODE": "1",
            "OMP_NUM_THREADS": "1",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }

    def run(self, tests: list[str], limit: float) -> tuple[str, float]:
        """How tests end (``passed``, ``failed``, ``timeout``), and after how many seconds."""
        options = ["-x", "-q", "-p", "no:xdist", "-p", "no:cacheprovider"]
        command = [sys.executable, "-m", "pytest", *options, *tests]
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=self.root,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            status = "passed" if process.wait(limit) == 0 else "failed"
        except subprocess.TimeoutExpired:
            status = "timeout"
        if status == "timeout":
            os.killpg(process.pid, 9)
            process.wait()
        return status, time.monotonic() - began

    def try_out(self, mutant: Mutant, limit: float) -> Outcome:
        """Make a change, test it, take it back."""
        path = self.root / mutant.module
        data = path.read_bytes()
        tests = own_tests(mutant.module)
        try:
            path.write_bytes(data[: mutant.start] + mutant.after.encode() + data[mutant.end :])
            status, seconds = self.run(tests, limit)
        finally:
            path.write_bytes(data)
        what = {"passed": "survived", "failed": "killed", "timeout": "timeout"}[status]
        return Outcome(mutant.key, what, round(seconds, 1), tests)


class Trials:
    """Runs mutants in several copies at once; results are written down one by one."""

    def __init__(
        self, processes: int, folder: Path, work: Path | None, limit: float | None
    ) -> None:
        self.processes = processes
        self._given_limit = limit
        self._free: queue.Queue[Laboratory] = queue.Queue()
        for number in range(processes):
            (folder / str(number)).mkdir()
            self._free.put(Laboratory(folder / str(number)))
        self._work = work
        self._lock = threading.Lock()
        self._limits: dict[tuple[str, ...], float] = {}
        self.done: dict[str, Outcome] = {}
        if work is not None and work.exists():
            rows = [json.loads(line) for line in work.read_text().splitlines()]
            self.done = {row["key"]: Outcome(**row) for row in rows}

    def __call__(self, mutants: list[Mutant]) -> list[Outcome]:
        """What becomes of each."""
        with ThreadPoolExecutor(self.processes) as pool:
            futures = [pool.submit(self._one, mutant) for mutant in mutants]
            return [f.result() for f in track(futures, "mutants", console=None)]

    def _one(self, mutant: Mutant) -> Outcome:
        if mutant.key in self.done:
            return self.done[mutant.key]
        laboratory = self._free.get()
        try:
            limit = self._limit(laboratory, own_tests(mutant.module))
            outcome = laboratory.try_out(mutant, limit)
        finally:
            self._free.put(laboratory)
        with self._lock:
            self.done[mutant.key] = outcome
            if self._work is not None:
                with self._work.open("a") as file:
                    file.write(json.dumps(asdict(outcome)) + "\n")
        return outcome

    def _limit(self, laboratory: Laboratory, tests: list[str]) -> float:
        """How long these tests may take; where no limit is given, they are timed first.

        Raises:
            RuntimeError: They do not pass without a change.
        """
        if self._given_limit is not None:
            return self._given_limit
        key = tuple(tests)
        if key not in self._limits:
            status, seconds = laboratory.run(tests, 900)
            if status != "passed":
                raise RuntimeError(f"{' '.join(tests)}: {status} without any change")
            self._limits[key] = SLOW * seconds + SPARE
        return self._limits[key]


def all_mutants(beginnings: list[str]) -> list[Mutant]:
    """The changes of all modules whose paths begin so."""
    modules = sorted(
        str(path.relative_to(ROOT)) for p in PACKAGES for path in (ROOT / p).rglob("*.py")
    )
    chosen = [m for m in modules if any(m.startswith(b) for b in beginnings)]
    return [mutant for m in chosen for mutant in mutants_of(m, (ROOT / m).read_text())]


def sample(mutants: list[Mutant], count: int, seed: int) -> list[Mutant]:
    """Evenly spread over the code: every module has its share."""
    if count >= len(mutants):
        return mutants
    step = len(mutants) / count
    offset = np.random.default_rng(seed).random() * step
    drawn = [mutants[int(offset + i * step)] for i in range(count)]
    order = np.random.default_rng(seed + 1).permutation(count)
    return [drawn[i] for i in order]


def summarise(mutants: list[Mutant], outcomes: list[Outcome], result: Result) -> None:
    """Totals, a row a package, and every survivor."""
    pairs = list(zip(mutants, outcomes, strict=True))
    for what in ("total", *PACKAGES):
        some = [(m, o) for m, o in pairs if what == "total" or m.module.startswith(f"{what}/")]
        counted = [(m, o) for m, o in some if _excuse(m) is None or o.what != "survived"]
        killed = sum(o.what != "survived" for _, o in counted)
        row: dict[str, Any] = {"what": what, "tried": len(counted), "killed": killed}
        row["score"] = round(killed / max(len(counted), 1), 4)
        row["equivalent"] = len(some) - len(counted)
        result.rows.append(row)
        if what == "total":
            result.claim(
                "share of changes that a module's tests notice", row["score"], BAR, "higher"
            )
    for mutant, outcome in pairs:
        if outcome.what == "survived":
            row = {"what": "survivor", "module": mutant.module, "line": mutant.line}
            row |= {"text": mutant.text, "before": mutant.before, "after": mutant.after}
            row |= {"tests": " ".join(outcome.tests), "equivalent": _excuse(mutant)}
            result.rows.append(row)


def _excuse(mutant: Mutant) -> str | None:
    return EQUIVALENT.get((mutant.module, mutant.text, mutant.after))


def main() -> None:
    """Draw, run, print, write."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--modules", help="beginnings of paths, by commas", default="")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--work", type=Path, help="where results are kept one by one")
    parser.add_argument("--limit", type=float, help="seconds of a module's tests, known to pass")
    parser.add_argument("--out")
    args = parser.parse_args()
    result = Result("mutants")
    beginnings = args.modules.split(",") if args.modules else list(PACKAGES)
    mutants = sample(all_mutants(beginnings), args.count, args.seed)
    with tempfile.TemporaryDirectory() as folder:
        outcomes = Trials(args.processes, Path(folder), args.work, args.limit)(mutants)
    summarise(mutants, outcomes, result)
    result.write(args.out)


if __name__ == "__main__":
    main()
