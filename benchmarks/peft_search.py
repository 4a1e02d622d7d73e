"""Fine-tuning: what methods cost, how good they are, and what a search among them finds.

``python -m benchmarks.peft_search --part PART --seeds S --out FILE.json``, where PART is

* ``cost``: parameters, activation memory and operations, predicted and measured, of each method.
* ``methods``: the default of each family on ten tasks (`peft_methods`).
* ``search``: 30 trials against defaults and AutoPEFT's space (`peft_trials`).
* ``transfer``: the same with a bank of the other tasks (`peft_trials`).
* ``bank``: what the bundled bank saves, replayed on its records (`peft_bank`).
"""

from __future__ import annotations

import argparse
import gc
import os
import time
from pathlib import Path
from typing import Any

import torch

from bequest.common.threads import one_thread
from bequest.evaluators.peft import METHODS, attach
from bequest.evaluators.peft.cost import MIB, CostModel, measure
from bequest.evaluators.peft.space import usual_methods
from bequest.evaluators.text.backbones import load_backbone

from .harness import Result
from .peft_bank import saving
from .peft_methods import TASKS, methods
from .peft_trials import TASKS as FEW
from .peft_trials import search, transfer

PARTS = ("cost", "methods", "search", "transfer", "bank")
BATCH, LENGTH = 16, 64
"""The step on which costs are measured, as in the methods' notes."""


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


def main() -> None:
    """Run a part."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--part", choices=PARTS, required=True)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tasks", nargs="+", help="ten by default; four of search and transfer")
    parser.add_argument(
        "--methods", nargs="+", default=list(usual_methods()), help="methods: only these"
    )
    parser.add_argument("--examples", type=int, default=500)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--data-root", default=os.environ.get("BEQUEST_DATA"))
    work = Path("build/peft_search")
    parser.add_argument("--work", type=Path, default=work, help="Keeps what was measured.")
    parser.add_argument("--out")
    args = parser.parse_args()
    result = Result("peft_search")
    torch.manual_seed(0)
    if args.part == "cost":
        with one_thread():
            costs(result)
    else:
        args.work.mkdir(parents=True, exist_ok=True)
        args.tasks = args.tasks or list(TASKS if args.part == "methods" else FEW)
        parts = {"methods": methods, "search": search, "transfer": transfer, "bank": saving}
        parts[args.part](args, result)
    result.write(args.out)


if __name__ == "__main__":
    main()
