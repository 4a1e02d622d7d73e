"""Fine-tuning: what methods cost (``--part cost``), and how good their defaults are (``methods``).

``python -m benchmarks.peft_search --part methods --seeds 5 --out FILE.json``
"""

from __future__ import annotations

import argparse
import gc
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from bequest.evaluators import load_task
from bequest.evaluators.peft import METHODS, attach
from bequest.evaluators.peft.cost import MIB, CostModel, measure
from bequest.evaluators.text.backbones import load_backbone
from bequest.evaluators.text.evaluator import TextEvaluator
from bequest.evaluators.text.training import TextBudget
from bequest.spaces import Config
from bequest.spaces.peft import DEFAULTS, KNOBS, RATES, WHOLE, knob_name, peft_space
from bequest.threads import one_thread

from .harness import Result, Summary

TASKS = (
    *("trec6", "trec50", "subj", "mr", "sst2", "cola", "tweet-emotion"),
    *("ag-news-small", "banking77", "clinc150-small"),
)
BATCH, LENGTH = 16, 64
"""The step on which costs are measured, as in the methods' notes."""

GOOD: dict[str, dict[str, Any]] = {
    "compacter": {"bottleneck": 32, "phm": 4},
    "prefix": {"length": 10},
    "mam": {"length": 10, "bottleneck": 64, "scale": 4.0},
    "prompt": {"length": 10},
    "dept": {"length": 8, "rank": 8, "rate_ratio": 0.1},
    "apt": {"length": 16, "rank": 8, "scale": 1.0},
    "p-adapter": {"p": 1.5, "bottleneck": 64, "mu": 1.0},
    "petalface": {"rank": 8, "second_rank": 8, "where": "qv"},
    "das": {"skip": 1, "bottleneck": 64},
    "sparse": {"density": 0.05, "first_share": 0.5},
    "top-k": {"layers": 2},
    "unipt": {"reduction": 4, "gate": "softmax"},
    "sherl": {"late": 2, "reduction": 4, "temperature": 1.0},
    "vqt": {"tokens": 4, "aggregation": "mean"},
}
"""Knobs of the methods that the space has no default configuration for: the functions' own."""


def default_of(method: str) -> Config:
    """The default of a method family; its rate is the middle of its range, on a logarithmic axis.

    Nothing was tuned on the ten tasks.
    """
    for config in DEFAULTS:
        if config["method"] == method:
            return config
    low, high, family = next((lo, hi, f) for f, (lo, hi, m) in RATES.items() if method in m)
    config = {
        "method": method,
        **{knob_name(method, knob): value for knob, value in GOOD.get(method, {}).items()},
        f"learning_rate_{family}": (low * high) ** 0.5,
        **{k: v for k, v in DEFAULTS[1].items() if k.startswith(("head_", "weight", "batch"))},
    }
    if method not in WHOLE:
        config["layer_lo"] = 0
    return peft_space(6, [method]).validate(config)


def costs(result: Result) -> None:
    """Predicted against measured, on MiniLM."""
    model = load_backbone().model
    predictor = CostModel(model, vocabulary=30522)
    inputs = predictor.inputs(BATCH, LENGTH)
    worst, memory = 0.0, {}
    for method in sorted(METHODS):
        knobs: dict[str, Any] = {}
        if method == "scalearn":
            source = attach(model, "adapter")
            knobs = {"sources": [source.state()] * 2}
            source.remove()
        expected = None if knobs else predictor.predict(method, {}, batch=BATCH, length=LENGTH)
        handle = attach(model, method, **knobs)
        measured = measure(handle, inputs)
        seconds = min(_step_seconds(handle, inputs) for _ in range(3))
        handle.remove()
        model.zero_grad()
        gc.collect()  # hooks and modules hold each other
        memory[method] = measured.memory
        row = {"what": "cost", "method": method, "parameters": measured.parameters}
        row |= {"memory_mib": round(measured.memory / MIB, 2), "gflops": measured.flops / 1e9}
        row["cpu_s"] = round(seconds, 3)
        if expected is not None:
            row["predicted_mib"] = round(expected.memory / MIB, 2)
            row["predicted_gflops"] = expected.flops / 1e9
            if measured.memory:
                worst = max(worst, abs(expected.memory / measured.memory - 1))
        result.rows.append(row)
    for row in result.rows:
        row["memory_ratio_to_full"] = round(memory[row["method"]] / memory["full"], 4)
    result.rows.append({"what": "predicted-memory", "error": worst})
    result.claim("largest error of predicted activation memory", worst, 0.05, "lower")
    result.claim("LST's activation memory, of full's", memory["lst"] / memory["full"], 0.2, "lower")


def _step_seconds(handle: Any, inputs: Any) -> float:
    started = time.process_time()
    features = handle.features(inputs)
    if features.requires_grad:
        features.sum().backward()
    handle.after_backward(lambda: handle.features(inputs).sum())
    return time.process_time() - started


def methods(
    result: Result,
    tasks: list[str],
    names: list[str],
    seeds: int,
    budget: TextBudget,
    work: Path | None,
) -> None:
    """Test accuracy of each family's default: tasks x methods, paired seeds.

    What was measured is kept in the file ``work``, line by line, and not measured again.
    """
    found: dict[tuple[str, str], list[float]] = {}
    kept = _kept(work, budget)
    for name in tasks:
        task: Any = load_task(name)
        for seed in range(seeds):
            evaluator = TextEvaluator(task, space=peft_space(6, tuple(KNOBS)), budget=budget)
            for method in names:
                key = (name, method, seed)
                if key not in kept:
                    started = time.process_time()
                    outcome = evaluator(default_of(method), seed=seed)
                    kept[key] = outcome.metrics["test_accuracy"]
                    spent = time.process_time() - started
                    print(f"{name} {method} {seed}: {kept[key]:.4f} ({spent:.0f} s)", flush=True)
                    _keep(work, budget, key, kept[key])
                found.setdefault((name, method), []).append(kept[key])
    for (name, method), values in found.items():
        row = {"task": name, "method": method, "seeds": seeds, **Summary.of(values).row()}
        result.rows.append(row)
    for method in names:
        values = [v for name in tasks for v in found[name, method]]
        groups = [i for i, _ in enumerate(tasks) for _ in range(seeds)]
        row = {"task": "all", "method": method, "seeds": seeds}
        result.rows.append(row | Summary.of(values, groups).row())


def _kept(work: Path | None, budget: TextBudget) -> dict[tuple[str, str, int], float]:
    if work is None or not work.exists():
        return {}
    rows = [json.loads(line) for line in work.read_text().splitlines()]
    return {tuple(r["key"]): r["value"] for r in rows if r["budget"] == asdict(budget)}


def _keep(work: Path | None, budget: TextBudget, key: tuple[str, str, int], value: float) -> None:
    if work is not None:
        with work.open("a") as file:
            file.write(json.dumps({"key": key, "value": value, "budget": asdict(budget)}) + "\n")


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("cost", "methods"), required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", default=list(TASKS))
    parser.add_argument("--methods", nargs="+", default=list(KNOBS), choices=list(KNOBS))
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--work", type=Path, help="Keeps measured accuracies; go on from there.")
    parser.add_argument("--out")
    options = parser.parse_args()
    result = Result("peft_search")
    torch.manual_seed(0)
    with one_thread():
        if options.part == "cost":
            costs(result)
        else:
            budget = TextBudget(options.epochs, options.examples)
            methods(result, options.tasks, options.methods, options.seeds, budget, options.work)
    result.write(options.out)


if __name__ == "__main__":
    main()
