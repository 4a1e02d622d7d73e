"""The package as a whole: its list of sub-packages, its lazy imports, its exports."""

from __future__ import annotations

import configparser
import re
import subprocess
import sys
from pathlib import Path

import pytest

import bequest

ROOT = Path(__file__).resolve().parents[1]
HEAVY = ("torch", "mlflow", "optuna", "pandas", "sklearn", "matplotlib", "numpy")


def test_setup_lists_every_package() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    listed = set(config["options"]["packages"].split())
    top = {p.parent.name for p in ROOT.glob("*/__init__.py")} - {"benchmarks", "tests"}
    folders = {p.parent for name in top for p in (ROOT / name).rglob("__init__.py")}
    found = {"bequest", *("bequest." + ".".join(f.relative_to(ROOT).parts) for f in folders)}
    assert listed == found


def test_the_oldest_versions_tested_are_the_lower_bounds() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    bounds = dict(re.findall(r"([\w-]+)>=([\w.]+)", config["options"]["install_requires"]))
    oldest = (ROOT / "constraints-oldest.txt").read_text()
    pins = dict(re.findall(r"^([\w-]+)==([\w.]+)$", oldest, re.MULTILINE))
    assert bounds == {name: pins[name] for name in bounds}


@pytest.mark.parametrize("code", ["import bequest", "import bequest.cli", "from bequest import *"])
def test_import_loads_no_large_library(code: str) -> None:
    if "*" in code:
        code = "import bequest; dir(bequest); bequest.BequestError"
    probe = f"import sys; {code}; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("name", bequest.__all__)
def test_every_export_exists(name: str) -> None:
    assert getattr(bequest, name) is not None


def test_unknown_attribute() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Studi'"):
        bequest.Studi  # noqa: B018


def test_the_version_is_that_of_the_distribution() -> None:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg")
    assert config["metadata"]["version"] == bequest.__version__


@pytest.mark.parametrize("name", ["copy", "typing", "importlib"])
def test_a_clone_called_like_a_standard_module_shadows_it_for_nobody(
    name: str, tmp_path: Path
) -> None:
    (tmp_path / name).symlink_to(ROOT, target_is_directory=True)
    script = tmp_path / "script.py"
    script.write_text(f"import {name}, copy; print({name}.__name__, copy.deepcopy([1]))")
    done = subprocess.run([sys.executable, script], capture_output=True, text=True)
    assert done.stdout == f"{name} [1]\n", done.stderr
