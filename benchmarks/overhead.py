"""What the engine costs beside the sampler, beside plain Optuna in the same process.

``python -m benchmarks.overhead --out FILE.json``. CPU time, one thread; rounds of ours and plain
Optuna's alternate, and the median round counts.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution

from bequest import Parameter, Space, Study
from bequest.search.samplers import make_sampler
from bequest.search.samplers.random import RandomSampler

from .harness import Result

TRIALS, ROUNDS = 100, 5
SPACE = Space("ten", [Parameter(f"p{i}", FloatDistribution(0, 1)) for i in range(10)])
MIXED = Space(
    "mixed",
    [
        *(Parameter(f"p{i}", FloatDistribution(0, 1)) for i in range(6)),
        *(Parameter(f"c{i}", CategoricalDistribution(["a", "b", "c"])) for i in range(4)),
    ],
)


def value(config: dict[str, object]) -> float:
    """An objective that costs nothing."""
    return sum(float(v) for v in config.values() if isinstance(v, float))


def ours(storage: str, seed: int, tracking: str | bool = False, trials: int = TRIALS) -> float:
    """CPU ms a trial of a whole study run."""
    study = Study.of(
        value, SPACE, name=f"s{seed}", sampler="random", storage=storage, tracking=tracking
    )
    began = time.process_time()
    study.run(trials=trials, progress=False)
    return 1000 * (time.process_time() - began) / trials


def plain(storage: optuna.storages.BaseStorage | str | None, seed: int) -> float:
    """The same with Optuna's own loop."""
    study = optuna.create_study(
        storage=storage, study_name=f"p{seed}", sampler=optuna.samplers.RandomSampler(seed=seed)
    )
    began = time.process_time()
    study.optimize(lambda trial: value(SPACE.suggest(trial)), n_trials=TRIALS)
    return 1000 * (time.process_time() - began) / TRIALS


def sampler_alone() -> float:
    """CPU ms of one proposal of the random sampler: what the engine's cost comes on top of."""
    sampler = RandomSampler(SPACE)
    began = time.process_time()
    for i in range(TRIALS):
        sampler.propose(SPACE, [], np.random.default_rng([0, i]))
    return 1000 * (time.process_time() - began) / TRIALS


def engine(result: Result, folder: Path) -> None:
    """In memory and stored, each beside plain Optuna."""
    alone = sampler_alone()
    rivals: dict[str, tuple[Callable[[int], float], Callable[[int], float], float]] = {
        "engine-memory": (lambda i: ours("memory", i), lambda i: plain(None, i), 1.0),
        "engine-stored": (
            lambda i: ours(f"sqlite:///{folder / 'ours.db'}", i),
            lambda i: plain(f"sqlite:///{folder / 'plain.db'}", i),
            15.0,
        ),
    }
    for what, (mine, theirs, bar) in rivals.items():
        pairs = [(mine(i), theirs(i)) for i in range(ROUNDS)]
        cpu = float(np.median([a for a, _ in pairs])) - alone
        rival = float(np.median([b for _, b in pairs]))
        result.rows.append({"what": what, "method": "bequest", "cpu_ms": round(cpu, 3)})
        result.rows.append({"what": what, "method": "optuna", "cpu_ms": round(rival, 3)})
        result.claim(f"{what}: CPU ms a trial over the sampler", round(cpu, 3), bar, "lower")


def mlflow(result: Result, folder: Path) -> None:
    """What the mirror adds: its thread's CPU time shows in the process's.

    A study costs something once (its pictures), and each trial something: two sizes tell both.
    """
    uri = f"sqlite:///{folder / 'mlflow.db'}"
    ours("memory", 99, uri)  # imports and migrations are paid once
    totals = {}
    for trials in (TRIALS, 3 * TRIALS):
        added = [
            trials * (ours("memory", seed, uri, trials) - ours("memory", seed, False, trials))
            for seed in range(trials, trials + 3)
        ]
        totals[trials] = float(np.median(added))
    cpu = (totals[3 * TRIALS] - totals[TRIALS]) / (2 * TRIALS)
    once = totals[TRIALS] - TRIALS * cpu
    result.rows.append({"what": "mlflow", "method": "bequest", "cpu_ms": round(cpu, 3)})
    result.rows.append({"what": "mlflow-once", "method": "bequest", "cpu_ms": round(once, 1)})
    result.claim("mlflow: CPU ms a trial", round(cpu, 3), 15, "lower")


def bare_mlflow(result: Result, folder: Path) -> None:
    """The same runs written by hand, with MLflow's three cheapest calls: the floor."""
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param

    client = MlflowClient(tracking_uri=f"sqlite:///{folder / 'bare.db'}")
    experiment = client.create_experiment("bare")
    tags = {f"tag{i}": "x" for i in range(6)}
    began = time.process_time()
    for trial in range(TRIALS):
        run = client.create_run(experiment, 0, tags, f"trial {trial}").info.run_id
        params = [Param(f"p{i}", "0.123456789") for i in range(10)]
        client.log_batch(run, [Metric("objective", 1.0, 1, 0)], params)
        client.set_terminated(run, "FINISHED", 1)
    cpu = 1000 * (time.process_time() - began) / TRIALS
    result.rows.append({"what": "mlflow", "method": "by hand", "cpu_ms": round(cpu, 3)})


def imports(result: Result) -> None:
    """CPU seconds of `import bequest` and `bequest --help` over an empty interpreter's."""
    commands = {
        "import": [sys.executable, "-c", "import bequest"],
        "help": [
            sys.executable,
            "-c",
            "import sys; sys.argv = ['bequest', '--help'];from bequest.cli import main; main()",
        ],
    }
    bars = {"import": 0.3, "help": 0.5}
    for what, command in commands.items():
        spent = []
        for _ in range(ROUNDS):
            before = os.times()
            subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
            after = os.times()
            spent.append(
                after.children_user
                + after.children_system
                - before.children_user
                - before.children_system
            )
        cpu = round(float(np.median(spent)), 3)
        result.rows.append({"what": what, "method": "bequest", "cpu_s": cpu})
        result.claim(f"{what}: CPU seconds", cpu, bars[what], "lower")


def suggestions(result: Result, n: int) -> None:
    """CPU ms of one suggestion after n trials in ten dimensions."""
    cpu: dict[str, float] = {}
    rng = np.random.default_rng(0)
    configs = [MIXED.sample(rng) for _ in range(n)]
    for method in ("tpe", "evolution", "optuna-gp", "gp"):
        sampler = (
            optuna.samplers.GPSampler(seed=0)
            if method == "optuna-gp"
            else make_sampler(method, MIXED, 0)
        )
        study = optuna.create_study(sampler=sampler, direction="maximize")
        for config in configs:
            study.add_trial(
                optuna.trial.create_trial(
                    params=config, distributions=MIXED.distributions(config), value=value(config)
                )
            )
        spent = []
        for _ in range(6):
            began = time.process_time()
            trial = study.ask()
            config = MIXED.suggest(trial)
            spent.append(1000 * (time.process_time() - began))
            study.tell(trial, value(config))
        cpu[method] = round(float(np.median(spent[1:])), 2)
        result.rows.append({"what": "suggest", "method": method, "n": n, "cpu_ms": cpu[method]})
    result.claim(f"gp: CPU ms a suggestion at {n} trials, 10 dimensions", cpu["gp"], 500, "lower")


def main() -> None:
    """Measure everything, print it, write it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--out")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    result = Result("overhead")
    with tempfile.TemporaryDirectory() as name:
        os.environ["BEQUEST_HOME"] = name
        engine(result, Path(name))
        mlflow(result, Path(name))
        bare_mlflow(result, Path(name))
    imports(result)
    suggestions(result, 200)
    result.write(args.out)


if __name__ == "__main__":
    main()
