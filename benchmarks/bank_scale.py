"""Large banks, many writers, and how long a transfer suggestion takes.

``python -m benchmarks.bank_scale --tasks 100 --designs 10000 --out FILE.json``
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from multiprocessing import get_context
from pathlib import Path
from zlib import crc32

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna

from bequest.banks.bank import Bank
from bequest.banks.record import BankTask, Record
from bequest.search.samplers import make_sampler
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.search.surrogates.transfer_prior import transfer_prior_of
from bequest.search.transfer.sources import SourceTasks
from bequest.spaces import Config, Space
from bequest.spaces.gnn import gnn_space

from .harness import Result

WRITERS, APPENDS = 8, 50


def fill(bank: Bank, space: Space, tasks: int, designs: int) -> None:
    """Records with some structure: a linear effect of each choice, shared in part by all tasks."""
    rng = np.random.default_rng(0)
    configs = [space.sample(rng) for _ in range(designs)]
    shared = _effects(space, 0)
    for task in range(tasks):
        own = _effects(space, task + 1)
        rows = [
            Record(c, float(_value(c, shared) + 0.5 * _value(c, own) + 0.1 * rng.normal()))
            for c in configs
        ]
        bank.append(BankTask(f"task{task}", "accuracy"), space, rows)


def _effects(space: Space, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    return {p.name: float(rng.normal()) for p in space.parameters}


def _value(config: Config, effects: dict[str, float]) -> float:
    return sum(effects[k] * (crc32(str(v).encode()) % 7) / 7 for k, v in config.items())


def append_some(url: str, number: int) -> int:
    """One of many writers."""
    bank, space = Bank(url), gnn_space()
    rng = np.random.default_rng(number)
    records = [Record(space.sample(rng), 0.5) for _ in range(APPENDS)]
    task = BankTask(f"task{number % 3}", "accuracy")
    return sum(bank.append(task, space, [record]) for record in records)


def writers(result: Result, folder: Path) -> None:
    """Eight processes, fifty appends each."""
    url = f"sqlite:///{folder / 'writers.db'}"
    began = time.time()
    with get_context("spawn").Pool(WRITERS) as pool:
        pool.starmap(append_some, [(url, i) for i in range(WRITERS)])
    found = sum(Bank(url).counts().values())
    seconds = time.time() - began
    row = {"what": "writers", "records": found, "seconds": round(seconds, 2)}
    result.rows.append(row)
    wrong = abs(found - WRITERS * APPENDS)
    result.claim("8 processes x 50 appends: records lost or doubled", wrong, 0, "lower")


def large(result: Result, folder: Path, tasks: int, designs: int) -> None:
    """A million records: from a cold and from a warm bank to the prior of a new task."""
    space = gnn_space()
    bank = Bank(f"sqlite:///{folder / 'large.db'}")
    began = time.time()
    fill(bank, space, tasks, designs)
    result.rows.append({"what": "fill", "seconds": round(time.time() - began, 1)})
    cold = _prior(bank, space, "first new task")
    warm = _prior(bank, space, "second new task")
    records = tasks * designs
    for name, seconds in (("cold", cold), ("warm", warm)):
        result.rows.append({"what": name, "records": records, "seconds": round(seconds, 3)})
    result.claim(
        f"seconds to a new task's priors, warm bank of {records} records", warm, 1, "lower"
    )


def _prior(bank: Bank, space: Space, task: str) -> float:
    """Seconds until both samplers could propose their first design."""
    began = time.time()
    sources = SourceTasks(bank, task, space, bank.revision)
    names = sources.tasks
    relevance = {name: float(i % 5 + 1) for i, name in enumerate(names)}
    prior = transfer_prior_of(sources.scores)
    assert prior.weights.noise > 0
    views = prior.with_relevance(relevance).bank_views
    DesignPrior(sources.scores, relevance)
    assert len(views) == len(sources.scores.configs)
    return time.time() - began


def suggestions(result: Result, folder: Path) -> None:
    """CPU seconds of the first suggestion and of later ones: 20 tasks of 100 records."""
    space = gnn_space()
    bank = Bank(f"sqlite:///{folder / 'usual.db'}")
    fill(bank, space, 20, 100)
    began = time.process_time()
    sampler = make_sampler("transfer", space, 0, SourceTasks(bank, "new", space, bank.revision))
    study = optuna.create_study(sampler=sampler, direction="maximize")
    effects = _effects(space, 999)
    spent = []
    for _ in range(30):
        trial = study.ask()
        config = space.suggest(trial)
        spent.append(time.process_time() - began)
        study.tell(trial, _value(config, effects))
        began = time.process_time()
    first = spent[0] + spent[1]  # the second is the first that needs what was learned
    later = float(np.mean(spent[2:]))
    for name, seconds in (("first", first), ("later", later)):
        row = {"what": f"suggestion-{name}", "method": "transfer", "n": 30}
        result.rows.append({**row, "cpu_s": round(seconds, 3)})
    result.claim("CPU seconds of the first suggestions (20 tasks x 100 records)", first, 1, "lower")
    result.claim("CPU seconds of a later suggestion", later, 0.3, "lower")


def main() -> None:
    """Measure everything, print it, write it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tasks", type=int, default=100)
    parser.add_argument("--designs", type=int, default=10_000)
    parser.add_argument("--out")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    result = Result("bank_scale")
    with tempfile.TemporaryDirectory() as name:
        suggestions(result, Path(name))
        writers(result, Path(name))
        large(result, Path(name), args.tasks, args.designs)
    result.write(args.out)


if __name__ == "__main__":
    main()
