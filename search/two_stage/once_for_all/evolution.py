"""Evolution under limits: every child is feasible, new, and may be deeper or shallower.

After Wang et al., *APQ*, CVPR 2020, with these differences: children are repaired, not rejected
(`repair`); depth is a gene that mutates; no network is scored twice; and one run serves all
targets. A *target* is a set of limits; beside the requested ones there is a ladder of tighter ones,
so that the archive holds a front. The parents of a target are the best networks so far that meet
it, for whichever target they were made.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ....common.errors import StudyError
from ....evaluators.budgets import check_positive
from ....evaluators.hardware.totals import UNITS, NetworkCosts
from ....evaluators.limits import Limit, check_limits
from ....spaces.elastic_genes import GENES, Networks, joined
from .archive import Archive
from .population import Pool, crossover, mutate
from .repair import KINDS, Repair
from .sensitivity import Score, learn

MARGIN = 1.1
"""The tightest limit that can be asked for, as a multiple of the cheapest network's cost."""


@dataclass(frozen=True)
class Evolving:
    """The length and the operators of an evolution.

    Attributes:
        rounds, children: The number of rounds, and of children in each; repeated ones are
            dropped.
        parents: The number of the best networks that are parents, for each target.
        mutation: The chance of a block, or of a depth, to mutate.
        rungs: Steps from the tightest limit to the loosest that is asked for, itself the last.
        noise: See `Repair`.
    """

    rounds: int = 500
    children: int = 100
    parents: int = 25
    mutation: float = 0.1
    rungs: int = 6
    noise: float = 0.5

    def __post_init__(self) -> None:
        check_positive(self, ("rounds", "children", "parents", "rungs"))


class Evolution:
    """One search of a front.

    Args:
        costs: What networks cost.
        score: How good they are, higher is better: a predictor.
        limits: What is asked for; several of one name are several targets. Without any, the ladder
            spans what latencies there are.
        settings: See `Evolving`.
        seed: The only source of randomness.
        free: Which genes are searched: ``depth``, ``kernel``, ``channels``, ``bits``.
        fixed: One network, from which the genes come that are not searched.

    Attributes:
        archive: The front so far, over accuracy and `archived`.
        archived: The names of the archive's costs.
        asked: The targets that were asked for, as limits by name.
        calls: The number of networks scored.
        repaired: The number of children, and of feasible ones among them.

    Raises:
        StudyError: A limit leaves no network.
        UnknownNameError: A limit names no cost.
    """

    def __init__(
        self,
        costs: NetworkCosts,
        score: Score,
        limits: Sequence[Limit] = (),
        settings: Evolving | None = None,
        *,
        seed: int = 0,
        free: Sequence[str] = GENES,
        fixed: Networks | None = None,
    ) -> None:
        self.costs = costs
        self.settings = settings or Evolving()
        self.asked = targets(costs, limits)
        self.names = tuple(self.asked[0]) if self.asked else ("latency",)
        wanted = dict.fromkeys(("latency", "energy", "size", *self.names))
        self.archived = tuple(name for name in wanted if name in costs.names)
        self.archive = Archive()
        self.calls = 0
        self.repaired = [0, 0]
        self._score = score
        self._rng = np.random.default_rng(seed)
        self._fixed = (
            {} if fixed is None else {n: getattr(fixed, n) for n in GENES if n not in free}
        )
        self._repair = Repair(
            costs,
            self.names,
            learn(costs.geometry, self._ask, self._rng),
            self.settings.noise,
            kinds=[[kind for kind in group if kind not in self._fixed] for group in KINDS],
        )
        self._targets = self._ladder()
        self._seen: set[bytes] = set()
        self._pool: Pool | None = None

    def run(self, after_round: Callable[[int], object] = lambda _: None) -> Archive:
        """Run all rounds, and return the archive.

        Raises:
            StudyError: No network meets the limits together.
        """
        for number in range(self.settings.rounds):
            self._round(first=not number)
            after_round(number)
        if self.archive.networks is None:
            loosest = dict(zip(self.names, self._targets.max(0), strict=True))
            asked = ", ".join(f"{n}={v:.4g}{UNITS[n]}" for n, v in loosest.items())
            raise StudyError(f"no network meets {asked} together: loosen one of them")
        return self.archive

    def best(self, target: dict[str, float], count: int = 1) -> Networks:
        """The best networks found that meet a target, best first; perhaps fewer than asked."""
        assert self.archive.networks is not None
        limits = np.array([target.get(name, np.inf) for name in self.archived])
        return self.archive.networks[self.archive.within(limits)[:count]]

    def mutants(self, networks: Networks, rng: np.random.Generator) -> Networks:
        """A mutant of each network, in the genes that are searched; those that meet a target."""
        mutants = self._with_fixed(mutate(networks, self.settings.mutation, rng)).mended()
        costs = self.costs(mutants, self.names)
        meets = (costs[:, None] <= self._targets * (1 + 1e-9)).all(-1).any(-1)
        return mutants[np.flatnonzero(meets)]

    # Breeding -----------------------------------------------------------------------------------

    def _round(self, *, first: bool) -> None:
        count, rng = self.settings.children, self._rng
        chosen = rng.integers(len(self._targets), size=count)
        goals = self._targets[chosen]
        first = first or self._pool is None
        raw = Networks.sample(self.costs.geometry, count, rng) if first else self._children(chosen)
        children = self._repair(self._with_fixed(raw), goals, rng)
        costs = self.costs(children, self.names)
        feasible = (costs <= goals * (1 + 1e-9)).all(1)
        self.repaired[0] += count
        self.repaired[1] += int(feasible.sum())
        fresh = np.flatnonzero(feasible & self._new(children))
        if not len(fresh):
            return
        children, costs = children[fresh], costs[fresh]
        scores = self._ask(children)
        self.archive.add(children, scores, self.costs(children, self.archived))
        pool = Pool(children, scores, costs)
        pool = pool if self._pool is None else self._pool.joined(pool)
        self._pool = pool.best(self._targets, self.settings.parents)

    def _children(self, chosen: np.ndarray) -> Networks:
        """Half mutants of one parent, half crossovers of two; parents are of the child's target."""
        assert self._pool is not None
        rng = self._rng
        fit = [self._pool.fit_for(goal, self.settings.parents) for goal in self._targets]
        parents = np.stack([fit[t][rng.integers(len(fit[t]), size=2)] for t in chosen])
        first, second = (self._pool.networks[parents[:, k]] for k in range(2))
        crossed = crossover(first, second, rng)
        mutants = mutate(first, self.settings.mutation, rng)
        half = len(chosen) // 2
        return joined([mutants[:half], crossed[half:]])

    def _with_fixed(self, networks: Networks) -> Networks:
        """The same networks, changed in place: genes that are not searched are as given."""
        for name, genes in self._fixed.items():
            getattr(networks, name)[:] = genes
        return networks

    def _new(self, networks: Networks) -> np.ndarray:
        """Which networks were never scored; from now on they count as scored."""
        is_new = np.zeros(len(networks), dtype=bool)
        for row, key in enumerate(networks.keys()):
            is_new[row] = key not in self._seen
            self._seen.add(key)
        return is_new

    def _ask(self, networks: Networks) -> np.ndarray:
        self.calls += len(networks)
        return self._score(networks)

    def _ladder(self) -> np.ndarray:
        """The targets ``[t, k]``: those asked for, and rungs from the tightest to the loosest."""
        asked = [[target[name] for name in self.names] for target in self.asked]
        # The least of each cost may be another network's: the rungs begin where one meets them all.
        smallest = self.costs(Networks.smallest(self.costs.geometry), self.names)[0]
        least = np.array([self.costs.smallest(name) for name in self.names])
        least = MARGIN * (least if len(least) == 1 else np.maximum(least, smallest))
        if asked:
            loosest = np.max(asked, 0)
        else:
            sample = Networks.sample(self.costs.geometry, 1_000, self._rng)
            loosest = np.quantile(self.costs(sample, self.names), 0.9, axis=0)
        least = np.minimum(least, loosest)
        shares = np.linspace(0, 1, self.settings.rungs + (0 if asked else 1))
        rungs = np.exp(np.log(least) + shares[:, None] * np.log(loosest / least))
        return np.concatenate([np.array(asked), rungs[:-1]]) if asked else rungs


def targets(costs: NetworkCosts, limits: Sequence[Limit]) -> list[dict[str, float]]:
    """The sets of limits that are asked for: one of each name, in all combinations.

    Raises:
        StudyError: A limit leaves no network.
        UnknownNameError: A limit names no cost.
    """
    check_limits(limits, {name: UNITS[name] for name in costs.names})
    values: dict[str, list[float]] = {}
    for limit in limits:
        least = costs.smallest(limit.name)
        if limit.value < least * MARGIN:
            raise StudyError(
                f"limit {str(limit)!r} leaves no choice: the cheapest network has {limit.name} "
                f"{least:.4g}{UNITS[limit.name]}, give at least {MARGIN:g} times that"
            )
        values.setdefault(limit.name, []).append(limit.value)
    if not values:
        return []
    return [
        dict(zip(values, combined, strict=True)) for combined in itertools.product(*values.values())
    ]


def check_targets(costs: NetworkCosts, limits: Sequence[Limit]) -> None:
    """Check that some network meets each target; nothing is trained for that.

    Raises:
        StudyError: A limit leaves no network, or those of a target do together.
        UnknownNameError: A limit names no cost.
    """
    for target in targets(costs, limits):
        together = [Limit(name, value, UNITS[name]) for name, value in target.items()]
        Evolution(costs, _alike, together, Evolving(rounds=3, rungs=1)).run()


def _alike(networks: Networks) -> np.ndarray:
    return np.zeros(len(networks))
