"""What tells, before any search, how similar two tasks are.

``python -m benchmarks.fingerprints --bank banks/bundled/graphs --data-root DATA --out FILE.json``

The true similarity of two tasks is Kendall's tau of their scores on shared designs. Beside it:
Fisher fingerprints, the task's kind, plain statistics, landmarks (anchors at a twentieth of their
epochs on one task, beside the other's curves at the same epoch), learned projections of vectors
(the task left out of their training), and combinations (means of ranks). What is shown is
Spearman's correlation over all pairs of tasks, and seconds beside those of one training.

Then what each is worth to AutoTransfer: the bank's own designs are tried in the order in which its
prior draws them (a draw stands for the design nearest to it that has not been tried), until the
best, or one of the best twentieth, is found; beside the true similarity, none, and random order.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
import warnings
from itertools import combinations
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from scipy.stats import kendalltau, rankdata, spearmanr

from bequest.banks.bank import Bank
from bequest.banks.bundled import GRAPHS
from bequest.banks.exchange import import_bank
from bequest.banks.overlap import Overlap
from bequest.banks.scores import Scores
from bequest.banks.similarity import MOST_ALIKE, Projection, anchors, kendall_matrix
from bequest.evaluators import load_task
from bequest.evaluators.graph.fingerprint import GraphFingerprinter
from bequest.evaluators.graph.statistics import graph_statistics
from bequest.search.surrogates.design_prior import DesignPrior
from bequest.spaces import Config
from bequest.spaces.counts import counts
from bequest.spaces.gnn import gnn_space

from .harness import Result, Summary

ANCHORS, LANDMARK_SHARE, SEEDS = 12, 0.05, 10
COMBINED = ("kind", "statistics", "landmarks", "fisher")

USED = "statistics-projected"


def landmarks(bank: Bank, scores: Scores, chosen: np.ndarray) -> np.ndarray:
    """``[tasks, anchors]``: the learning curve at a twentieth of the anchor's epochs."""
    down = Overlap(gnn_space("graph"), gnn_space("node"))
    wanted = {_text(scores.configs[j]): i for i, j in enumerate(chosen)}
    found = np.full((len(scores.tasks), len(chosen)), np.nan)
    for row, task in enumerate(scores.tasks):
        for _, record in bank.records(task.name):
            carried = down.carry(record.config)
            place = None if carried is None else wanted.get(_text(carried))
            if place is None or not record.curve:
                continue
            epoch = LANDMARK_SHARE * float(record.config["epochs"])
            step = min(record.curve, key=lambda s: abs(s - epoch))
            found[row, place] = record.curve[step]
    return found


def for_graphs(config: Config) -> Config:
    """A design for nodes with what it lacks of one for graphs."""
    carried = Overlap(gnn_space("node"), gnn_space("graph")).carry(config)
    assert carried is not None
    return carried


def _text(config: Config) -> str:
    return repr(sorted(config.items(), key=lambda item: item[0]))


def distances(x: np.ndarray) -> np.ndarray:
    """Euclidean, on standardised columns."""
    z = (x - x.mean(0)) / np.where(x.std(0) > 0, x.std(0), 1)
    gaps: np.ndarray = np.sqrt(np.square(z[:, None] - z[None]).sum(2))
    return gaps


def projected(fingerprints: np.ndarray, tau: np.ndarray) -> np.ndarray:
    """Inner products with each task ``[i]``, which is left out of the projection's training."""
    count = len(fingerprints)
    found = np.zeros((count, count))
    for i in range(count):
        others = np.arange(count) != i
        fitted = Projection().fit(fingerprints[others], tau[np.ix_(others, others)])
        vectors = fitted(fingerprints)
        found[i] = vectors @ vectors[i]
    return found


def saving(scores: Scores, similarities: dict[str, np.ndarray], result: Result) -> None:
    """Designs that AutoTransfer tries on each task, its similarities taken from each matrix."""
    names = [task.name for task in scores.tasks]
    x = counts(scores.space, scores.configs)
    tried: dict[str, list[dict[str, int]]] = {}
    for i, name in enumerate(names):
        known = np.flatnonzero(~np.isnan(scores.values[i]))
        ranks = rankdata(-scores.values[i][known])
        others = scores.without([name])
        priors: dict[str, DesignPrior | None] = {"random": None, "none": DesignPrior(others, {})}
        for method, matrix in similarities.items():
            alike = _comparable(matrix[i], i)
            priors[method] = DesignPrior(others, dict(zip(names, alike, strict=True)))
        for method, prior in priors.items():
            for seed in range(SEEDS):
                order = _order(prior, x[known], seed)
                found = ranks[order]
                tried.setdefault(method, []).append(
                    {
                        "best": int((found == found.min()).argmax()) + 1,
                        "top5pct": int((found <= len(known) / 20).argmax()) + 1,
                    }
                )
    groups = [i for i in range(len(names)) for _ in range(SEEDS)]
    for method, counted in tried.items():
        for level in ("best", "top5pct"):
            summary = Summary.of([c[level] for c in counted], groups)
            row = {"method": f"autotransfer, {method}", "level": level, "seeds": SEEDS}
            result.rows.append({**row, **summary.row()})


def _comparable(row: np.ndarray, own: int) -> np.ndarray:
    """Any measure of likeness on the scale of `predicted_similarity`."""
    found = np.nan_to_num(row, nan=float(np.nanmin(row)))
    others = np.arange(len(row)) != own
    low, high = found[others].min(), found[others].max()
    alike: np.ndarray = MOST_ALIKE * (found - low) / max(high - low, 1e-12)
    return alike


def _order(prior: DesignPrior | None, x: np.ndarray, seed: int) -> np.ndarray:
    """In which order designs with counts ``[n, f]`` are tried ``[n]``."""
    rng = np.random.default_rng(seed)
    if prior is None:
        return rng.permutation(len(x))
    drawn = counts(prior.space, [prior.draw(rng) for _ in range(len(x))])
    gaps = np.square(drawn[:, None] - x).sum(2)
    order: list[int] = []
    for row in gaps:
        row[order] = np.inf
        order.append(int(row.argmin()))
    return np.array(order)


def main() -> None:
    """Measure everything, print it, write it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--bank", type=Path, default=GRAPHS)
    parser.add_argument("--data-root", default=os.environ.get("BEQUEST_DATA"))
    parser.add_argument("--out")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    result = Result("fingerprints")
    with tempfile.TemporaryDirectory() as folder:
        bank = Bank(f"sqlite:///{folder}/bank.db")
        import_bank(bank, args.bank)
        scores, _ = bank.scores(gnn_space("node"))
        tau = kendall_matrix(scores.values)
        complete = (~np.isnan(scores.values)).all(axis=0)
        chosen = np.flatnonzero(complete)[anchors(scores.values[:, complete], ANCHORS)]
        fingerprinter = GraphFingerprinter([for_graphs(scores.configs[j]) for j in chosen])
        vectors, statistics = [], []
        for task in scores.tasks:
            loaded = load_task(task.name, args.data_root)
            began = time.process_time()
            vectors.append(fingerprinter(loaded, seed=0))
            seconds = time.process_time() - began
            began = time.process_time()
            statistics.append(list(graph_statistics(loaded).values()))
            plain = time.process_time() - began
            trial = float(np.mean([r.seconds for _, r in bank.records(task.name)]))
            row = {"task": task.name, "what": "seconds", "fisher_s": round(seconds, 2)}
            row |= {"statistics_s": round(plain, 2), "training_s": round(trial, 2)}
            result.rows.append({**row, "trials": round(seconds / trial, 2)})
            print(result.rows[-1], flush=True)
        early = landmarks(bank, scores, chosen)
    kinds = np.array([task.kind for task in scores.tasks])
    fisher = np.stack(vectors)
    predicted = {
        "fisher": -distances(fisher),
        "fisher-projected": projected(fisher, tau),
        "kind": (kinds[:, None] == kinds).astype(float),
        "statistics": -distances(np.array(statistics)),
        "statistics-projected": projected(np.array(statistics), tau),
        "fisher+statistics-projected": projected(np.c_[fisher, statistics], tau),
        "landmarks": _correlations(early),
    }
    # Both ways: a learned projection sees the second task of a pair, but not the first.
    pairs = np.nonzero(~np.eye(len(kinds), dtype=bool))
    usable = ~np.isnan(tau[pairs])
    truth = tau[pairs][usable]
    single = {name: matrix[pairs][usable] for name, matrix in predicted.items()}
    for size in range(2, len(COMBINED) + 1):
        for names in combinations(COMBINED, size):
            ranks = [rankdata(np.nan_to_num(single[n])) for n in names]
            single["+".join(names)] = np.mean(ranks, axis=0)
    saving(scores, {"true": tau, **predicted}, result)
    correlations = {}
    for name, values in single.items():
        correlations[name] = float(spearmanr(truth, np.nan_to_num(values)).statistic)
        row = {"method": name, "pairs": len(truth), "spearman": round(correlations[name], 3)}
        result.rows.append(row)
    name = f"what AutoTransfer uses ({USED}) beside the kind alone"
    result.claim(name, correlations[USED], correlations["kind"], "higher")
    ratios = [row["trials"] for row in result.rows if row.get("what") == "seconds"]
    result.claim("a Fisher fingerprint in trials, median", float(np.median(ratios)), 1, "lower")
    result.write(args.out)


def _correlations(early: np.ndarray) -> np.ndarray:
    count = len(early)
    found = np.eye(count)
    for i in range(count):
        for j in range(i):
            both = ~np.isnan(early[i]) & ~np.isnan(early[j])
            found[i, j] = found[j, i] = kendalltau(early[i][both], early[j][both]).statistic
    return found


if __name__ == "__main__":
    main()
