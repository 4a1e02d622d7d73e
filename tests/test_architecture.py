"""The order of the packages, and the way of one configuration as docs/architecture.md has it."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]

LAYERS = {
    "common": set(),
    "spaces": {"common"},
    "banks": {"common", "spaces"},
    "evaluators": {"common", "spaces"},
    "search": {"common", "spaces", "banks", "evaluators"},
    "cli": {"common", "spaces", "banks", "evaluators", "search"},
    "testing": {"common", "spaces", "banks", "evaluators", "search"},
}
"""What each package may import."""

ROOMS = (
    ("optuna_backend", "surrogates"),
    ("samplers", "execution", "pareto"),
    ("studies", "pruners"),
    ("transfer", "two_stage"),
    ("tracking", "study_sampler"),
    ("study", "task_selection"),
)
"""The rooms of `search/`, from the lowest row to the highest: each imports from rows below it."""


def _imports(path: Path) -> set[str]:
    """The modules of the package that a module imports, as dotted names below it."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            found |= {".".join([*base, *name.split(".")]) for name in names if name}
    return found


@pytest.mark.parametrize("package", LAYERS)
def test_a_package_imports_only_from_those_below(package: str) -> None:
    allowed = LAYERS[package] | {package}
    for path in (ROOT / package).rglob("*.py"):
        used = {name.split(".")[0] for name in _imports(path)}
        assert used <= allowed, f"{path} imports {used - allowed}"


def test_rooms_of_search_import_only_from_rows_below() -> None:
    row = {room: number for number, rooms in enumerate(ROOMS) for room in rooms}
    for path in (ROOT / "search").rglob("*.py"):
        room = path.relative_to(ROOT / "search").parts[0].removesuffix(".py")
        if room == "__init__":
            continue
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "search" and len(parts) > 1 and parts[1] != room:
                assert row[parts[1]] < row[room], f"{path} imports {name}"


def test_private_names_of_optuna_stand_in_one_module() -> None:
    private = re.compile(r"\._(storage|trial_id|study_id|get_trials|thread_local)\b|optuna\.\S*\._")
    for folder in LAYERS:
        for path in (ROOT / folder).rglob("*.py"):
            if path.name != "optuna_backend.py":
                for number, line in enumerate(path.read_text().splitlines(), 1):
                    assert not private.search(line), f"{path}:{number}: {line.strip()}"


FOLLOW = """
import json, os, sys
import bequest
from bequest.cli.app import main
root = os.path.dirname(bequest.__file__) + os.sep
calls = set()

def ours(frame):
    while frame is not None and not frame.f_code.co_filename.startswith(root):
        frame = frame.f_back
    return frame

def name(frame):
    return f"{frame.f_code.co_filename.removeprefix(root)}:{frame.f_code.co_qualname}"

def watch(frame, event, argument):
    if event == "call" and frame.f_code.co_filename.startswith(root):
        caller = ours(frame.f_back)
        if caller is not None:
            calls.add((name(caller), name(frame)))

sys.argv = ["bequest", "search", "wine-knn", "--trials", "1", "--sampler", "random", "--no-mlflow",
            "--no-fit", "--json"]
sys.setprofile(watch)
try:
    main()
except SystemExit:
    pass
sys.setprofile(None)
with open(os.environ["CALLS"], "w") as file:
    json.dump(sorted(calls), file)
"""


def test_the_way_of_a_configuration_is_the_documented_one(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    steps = re.findall(r"^(\d+)\. `([\w/]+\.py:[\w.]+)`(?: \(called by (\d+))?", text, re.MULTILINE)
    assert [int(number) for number, _, _ in steps] == list(range(1, len(steps) + 1))
    assert len(steps) - 1 <= 15, "calls from the command line to the bank"
    environment = {**os.environ, "CALLS": str(tmp_path / "calls.json")}
    subprocess.run([sys.executable, "-c", FOLLOW], env=environment, check=True, timeout=120)
    calls = {tuple(call) for call in json.loads((tmp_path / "calls.json").read_text())}
    names = [name for _, name, _ in steps]
    for i, (_, name, caller) in enumerate(steps[1:], 1):
        before = names[int(caller) - 1] if caller else names[i - 1]
        assert (before, name) in calls, f"{before} does not call {name}"
