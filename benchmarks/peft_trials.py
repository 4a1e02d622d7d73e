"""Parts ``search`` and ``transfer`` of `peft_search`: studies of 30 trials, real trainings.

``search``: the best of 30 trials without a bank, beside LoRA's default, full fine-tuning's, and a
search of what our space has of AutoPEFT's (adapters, prefixes, and MAM, which is both together) for
as many trials; all are tested on the whole test part, on the same splits. Both searches begin with
the defaults of their methods, ours therefore with LoRA and full fine-tuning among others. AutoPEFT
itself has one learning rate for all, switches for single layers, and serial and parallel adapters
at once; here its space has our rates and first layers.

``transfer``: the same search with a bank of the other tasks (for TREC-6 without TREC-50: the same
questions); after how many trials has it what 30 trials found without? A search ends when it has it,
and after five trials at the least; one that never has it counts as 31. Beside it the test accuracy
of the best after five trials with the bank and after thirty without. Studies are kept in ``--work``
and go on where they stopped.
"""

from __future__ import annotations

import argparse
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import optuna

import bequest
from bequest.banks.bank import Bank
from bequest.banks.bundled import TEXTS
from bequest.banks.exchange import import_bank
from bequest.banks.record import Record
from bequest.evaluators.peft.space import peft_space, usual_methods
from bequest.evaluators.text.evaluator import STATISTICS, TextEvaluator
from bequest.evaluators.text.training import TextBudget
from bequest.search.studies.trial import Trial
from bequest.search.study import Study
from bequest.spaces import Config, Space

from .harness import Result, Summary
from .peft_methods import default_of
from .trainings import key

TASKS = ("trec6", "cola", "tweet-emotion", "banking77")
"""Of the ten those of short texts: trainings of seconds."""

KIN = {"trec6": ("trec50",)}
"""Tasks that share their texts."""

TRIALS = 30
BAR_TRIALS = 5
LAYERS = 6
"""Blocks of MiniLM."""

AUTOPEFT = ("adapter", "prefix", "mam")
ARMS = {"search": "gp", "autopeft": "gp", "transfer": "transfer"}
DEFAULTS = ("lora", "full", "probe")


def evaluator_of(task: str, args: argparse.Namespace, arm: str = "search") -> TextEvaluator:
    """On some training texts, as the bank was made."""
    return TextEvaluator(
        bequest.load_task(task, args.data_root),
        space=autopeft_space() if arm == "autopeft" else peft_space(LAYERS, usual_methods()),
        budget=TextBudget(args.epochs, args.examples),
    )


def autopeft_space() -> Space:
    """AutoPEFT's methods, each with a default, as the other methods have."""
    first, *rest = map(default_of, AUTOPEFT)
    parameters = peft_space(LAYERS, AUTOPEFT).parameters
    return Space("peft", parameters, default=first, more_defaults=rest)


def study_of(
    task: str, arm: str, seed: int, args: argparse.Namespace, goal: float = np.inf
) -> Study:
    """A stored study; run to its end, or until it has what it shall reach."""
    # Its bank learns of its own trials: others of another budget must not be found there.
    place: Path = args.work / f"{task}-{arm}-{seed}-{args.epochs}x{args.examples}"
    place.mkdir(parents=True, exist_ok=True)
    bank: Any = "none"
    if arm == "transfer":
        bank = f"sqlite:///{place / 'bank.db'}"
        others_of(task, Bank(bank))
    study = Study(
        evaluator_of(task, args, arm),
        sampler=ARMS[arm],
        bank=bank,
        storage=f"sqlite:///{place / 'study.db'}",
        seed=seed,
        tracking=False,
    )
    for trials in range(BAR_TRIALS, TRIALS + 1, BAR_TRIALS):
        if len(study.trials) >= BAR_TRIALS and _best_so_far(study)[-1] >= goal:
            break
        study.run(trials=trials, progress=False)
    best = study.best
    print(task, arm, seed, len(study.trials), best.value, best.config["method"], flush=True)
    return study


def others_of(task: str, bank: Bank) -> None:
    """Fill a bank with what the bundled one holds of other tasks."""
    whole = Bank("sqlite://")
    import_bank(whole, TEXTS)
    kin = {task, *KIN.get(task, ())}
    for other in whole.tasks:
        if other.facts.get("task", other.name) in kin:
            continue
        by_space: dict[Space, list[Record]] = {}
        for space, record in whole.records(other.name):
            by_space.setdefault(space, []).append(record)
        parts = [(other, space, records) for space, records in by_space.items()]
        found = whole.fingerprints(STATISTICS).get(other.name)
        vectors = [] if found is None else [(other.name, STATISTICS, list(found))]
        bank.append_all(parts, vectors)


def tested(task: str, name: str, config: Config, seed: int, args: argparse.Namespace) -> float:
    """Accuracy on the whole test part after a training; kept in the work folder."""
    budget = evaluator_of(task, args).budget
    digest = key(task, {**config, **asdict(budget)})
    path: Path = args.work / f"{task}-{name}-{seed}-{digest}.json"
    if not path.exists():
        found = evaluator_of(task, args).fit(config, seed=seed).metrics["test_accuracy"]
        path.write_text(json.dumps(found))
    return float(json.loads(path.read_text()))


def _studies(
    arm: str, args: argparse.Namespace, goals: Mapping[tuple[str, int], float] | None = None
) -> Iterator[tuple[str, int, Study]]:
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    for seed in range(args.seeds):
        for task in args.tasks:
            goal = np.inf if goals is None else goals[task, seed]
            yield task, seed, study_of(task, arm, seed, args, goal)


# Search -------------------------------------------------------------------------------------------


def search(args: argparse.Namespace, result: Result) -> None:
    """Test accuracy of what is found, beside defaults and AutoPEFT's space."""
    scores: dict[tuple[str, str], list[float]] = {}
    fronts: dict[str, list[Trial]] = {}
    for arm in ("search", "autopeft"):
        for task, seed, study in _studies(arm, args):
            best = study.best.config
            scores.setdefault((task, arm), []).append(tested(task, arm, best, seed, args))
            if arm == "search":
                fronts.setdefault(task, []).extend(study.trials)
    for seed in range(args.seeds):
        for task in args.tasks:
            for method in DEFAULTS:
                value = tested(task, method, default_of(method), seed, args)
                scores.setdefault((task, method), []).append(value)
    arms = ("search", "autopeft", *DEFAULTS)
    for (task, arm), values in scores.items():
        row = {"what": "test", "task": task, "method": arm, "seeds": args.seeds}
        result.rows.append(row | Summary.of(values).row())
    for rival in arms[1:]:
        margins = [
            own - other
            for task in args.tasks
            for own, other in zip(scores[task, "search"], scores[task, rival], strict=True)
        ]
        groups = [i for i, _ in enumerate(args.tasks) for _ in range(args.seeds)]
        row = {"what": "margin", "method": rival, "seeds": args.seeds}
        summary = Summary.of(margins, groups)
        result.rows.append(row | summary.row())
        name = f"search ahead of {rival}: the low end of the margin's interval over tasks"
        result.claim(name, summary.low, 1e-6, "higher")
    if args.out:
        draw_fronts(fronts, Path(args.out).with_suffix(".png"))


def draw_fronts(trials: dict[str, list[Trial]], path: Path) -> None:
    """Validation accuracy against activation memory, a panel a task; the front is a line."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    from bequest.search.studies.objectives import front_of

    # Each method looks the same in all panels.
    looks = {
        m: (plt.get_cmap("tab10")(i % 10), "os^D"[i // 10]) for i, m in enumerate(usual_methods())
    }
    figure, axes = plt.subplots(1, len(trials), figsize=(4 * len(trials), 3.6), squeeze=False)
    for axis, (task, found) in zip(axes.flat, trials.items(), strict=True):
        for name in dict.fromkeys(t.config["method"] for t in found):
            mine = [t for t in found if t.config["method"] == name and t.value is not None]
            memory = [max(t.metrics["activation_bytes"], 1.0) / 2**20 for t in mine]
            colour, marker = looks[name]
            values = [t.value for t in mine]
            axis.scatter(memory, values, s=14, color=colour, marker=marker, label=name)
        front = front_of(found, "maximize", ["activation_bytes"])
        memory = [max(t.metrics["activation_bytes"], 1.0) / 2**20 for t in front]
        axis.step(memory, [t.value for t in front], "k-", where="pre", linewidth=0.8)
        axis.set(title=task, xlabel="saved activations, MiB")
    axes[0, 0].set_ylabel("validation accuracy")
    handles = {h.get_label(): h for a in axes.flat for h in a.collections}
    figure.legend(handles.values(), handles.keys(), loc="lower center", ncols=9, fontsize=7)
    figure.tight_layout(rect=(0, 0.1, 1, 1))
    figure.savefig(path, dpi=110)


# Transfer -----------------------------------------------------------------------------------------


def transfer(args: argparse.Namespace, result: Result) -> None:
    """Trials with the bank until it has what 30 found without."""
    searches = {(task, seed): study for task, seed, study in _studies("search", args)}
    without = {place: _best_so_far(study) for place, study in searches.items()}
    goals = {place: at[-1] for place, at in without.items()}
    needed: dict[str, list[float]] = {}
    alone: dict[str, list[float]] = {}
    tests: dict[tuple[str, int], list[float]] = {}
    for task, seed, study in _studies("transfer", args, goals):
        so_far, at = _best_so_far(study), without[task, seed]
        needed.setdefault(task, []).append(_trials_to(at[-1], so_far))
        alone.setdefault(task, []).append(_trials_to(at[-1], at))
        for k in (1, 3, BAR_TRIALS):
            row = {"what": "best", "task": task, "seed": seed, "k": k}
            result.rows.append(row | {"transfer": so_far[k - 1], "without": at[k - 1]})
        searched = searches[task, seed]
        for method, k, found in (
            ("transfer", BAR_TRIALS, study),
            ("without", BAR_TRIALS, searched),
            ("without", TRIALS, searched),
        ):
            tests.setdefault((method, k), []).append(_test_of_best(found, k))
    groups = [i for _ in range(args.seeds) for i, _ in enumerate(args.tasks)]
    for (method, k), accuracies in tests.items():
        row = {"what": "test of the best", "method": method, "k": k, "seeds": args.seeds}
        result.rows.append(row | {"task": "all"} | Summary.of(accuracies, groups).row())
    early, late = tests["transfer", BAR_TRIALS], tests["without", TRIALS]
    margins = [a - b for a, b in zip(early, late, strict=True)]
    row = {"what": "test of the best", "method": "transfer at 5 minus without at 30"}
    result.rows.append(row | {"task": "all"} | Summary.of(margins, groups).row())
    for method, by_task in (("transfer", needed), ("without", alone)):
        row = {"what": "trials to the score of 30", "method": method, "seeds": args.seeds}
        for task, counts in by_task.items():
            result.rows.append(row | {"task": task} | Summary.of(counts).row())
        values = [c for counts in by_task.values() for c in counts]
        groups = [i for i, counts in enumerate(by_task.values()) for _ in counts]
        result.rows.append(row | {"task": "all"} | Summary.of(values, groups).row())
    means = [float(np.mean(counts)) for counts in needed.values()]
    name = f"trials to the score of {TRIALS} without the bank, mean over tasks"
    result.claim(name, float(np.mean(means)), BAR_TRIALS, "lower")


def _trials_to(goal: float, so_far: np.ndarray) -> float:
    reached = np.flatnonzero(so_far >= goal)
    return float(reached[0] + 1) if len(reached) else TRIALS + 1.0


def _test_of_best(study: Study, k: int) -> float:
    """Test accuracy, on 500 texts, of the trial with the best validation among the first k."""
    best = max(study.trials[:k], key=lambda t: -np.inf if t.value is None else t.value)
    return best.metrics["test_accuracy"]


def _best_so_far(study: Study) -> np.ndarray:
    values = [-np.inf if t.value is None else t.value for t in study.trials]
    return np.maximum.accumulate(values)
