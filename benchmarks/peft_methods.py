"""Part ``methods``: how good the default of each family of methods is on ten tasks of texts.

Paired seeds: each draws one split for all methods. What was measured is kept in ``--work``; what
the bundled bank holds of seed 0 (the same trainings) is read from there.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import asdict
from typing import Any

from bequest.banks.bundled import TEXTS
from bequest.common.threads import one_thread
from bequest.evaluators import load_task
from bequest.evaluators.peft.registry import METHODS
from bequest.evaluators.peft.space import knob_name, peft_space, searchable
from bequest.evaluators.text.evaluator import TextEvaluator
from bequest.evaluators.text.training import TextBudget
from bequest.spaces import Config

from .harness import Result, Summary
from .trainings import key, read_packed

TASKS = (
    *("trec6", "trec50", "subj", "mr", "sst2", "cola", "tweet-emotion"),
    *("ag-news-small", "banking77", "clinc150-small"),
)


def default_of(method: str) -> Config:
    """The default of a method family.

    Methods' own defaults are published figures'; the others have their function's knobs and the
    middle of their range as learning rate, on a logarithmic axis. One thing was tuned on the ten
    tasks: the probe's regularisation, on the validation parts of TREC-6 and MR; it is the probe's
    own, and that of the head from which all others start.
    """
    space = peft_space(6, [method])
    if space.default is not None:
        return space.default
    facts, shared = METHODS[method], peft_space(6, ["lora"]).default or {}
    assert facts.rates is not None
    config = {
        "method": method,
        **{knob_name(method, knob): facts.knobs[knob] for knob in facts.ranges or {}},
        facts.rates.parameter: (facts.rates.low * facts.rates.high) ** 0.5,
        **{k: v for k, v in shared.items() if k.startswith(("head_", "weight", "batch"))},
    }
    if facts.ranged:
        config["layer_lo"] = 0
    return space.validate(config)


Key = tuple[str, str, int]
"""Task, method, seed."""


def methods(args: argparse.Namespace, result: Result) -> None:
    """Test accuracy of each family's default: tasks x methods, paired seeds."""
    budget = TextBudget(args.epochs, args.examples)
    found = measured(args, budget)
    names: list[str] = args.methods
    by_key = {
        (t, m): [found[t, m, s] for s in range(args.seeds)] for t in args.tasks for m in names
    }
    for (name, method), values in by_key.items():
        row = {"task": name, "method": method, "seeds": args.seeds}
        result.rows.append(row | Summary.of(values).row())
    groups = [i for i, _ in enumerate(args.tasks) for _ in range(args.seeds)]
    for method in names:
        values = [v for name in args.tasks for v in by_key[name, method]]
        row = {"task": "all", "method": method, "seeds": args.seeds}
        result.rows.append(row | Summary.of(values, groups).row())
        if "lora" not in names:
            continue
        over = [
            v - p
            for n in args.tasks
            for v, p in zip(by_key[n, method], by_key[n, "lora"], strict=True)
        ]
        row = {"task": "all", "method": method, "what": "minus lora, paired"}
        result.rows.append(row | Summary.of(over, groups).row())


def measured(args: argparse.Namespace, budget: TextBudget) -> dict[Key, float]:
    """Measure what is missing, seed by seed, so that a part of it is a whole comparison."""
    kept = _kept(args, budget)
    with one_thread():
        for seed in range(args.seeds):
            for name in args.tasks:
                evaluator = None
                for method in args.methods:
                    at = (name, method, seed)
                    if at in kept:
                        continue
                    if evaluator is None:
                        space = peft_space(6, searchable())
                        task: Any = load_task(name, args.data_root)
                        evaluator = TextEvaluator(task, space=space, budget=budget)
                    started = time.process_time()
                    outcome = evaluator(default_of(method), seed=seed)
                    kept[at] = outcome.metrics["test_accuracy"]
                    spent = time.process_time() - started
                    print(f"{name} {method} {seed}: {kept[at]:.4f} ({spent:.0f} s)", flush=True)
                    row = {"at": at, "key": _key(at, budget), "value": kept[at]}
                    with (args.work / "methods.jsonl").open("a") as file:
                        file.write(json.dumps(row) + "\n")
    return kept


def _kept(args: argparse.Namespace, budget: TextBudget) -> dict[Key, float]:
    found: dict[Key, float] = {}
    if budget == TextBudget(3, 500):  # the bank's
        names = {key(t, default_of(m)): (t, m, 0) for t in args.tasks for m in args.methods}
        for row in read_packed(TEXTS):
            if row["key"] in names and "test_accuracy" in row["metrics"]:
                found[names[row["key"]]] = row["metrics"]["test_accuracy"]
    path = args.work / "methods.jsonl"
    if path.exists():
        for line in path.read_text().splitlines():
            row = json.loads(line)
            task, method, seed = at = tuple(row["at"])
            if row["key"] == _key(at, budget):
                found[task, method, seed] = row["value"]
    return found


def _key(at: Key, budget: TextBudget) -> str:
    """A name for one training: what was measured otherwise is another one."""
    return key(at[0], {**default_of(at[1]), "seed": at[2], **asdict(budget)})
