"""NAS-Bench-Graph's space: four operations on a tree below the input, in nine link patterns.

Source: Qin et al., *NAS-Bench-Graph*, NeurIPS 2022. Of the 59,049 points 59,040 are networks (the
nine that only skip are none), and 26,206 of these are distinct.
"""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cache, cached_property
from typing import Any

import numpy as np
from optuna.distributions import CategoricalDistribution

from ..common.errors import ConfigurationError
from .parameter import Config, Parameter, Value
from .space import Space

OPERATIONS = ("gat", "gcn", "gin", "cheb", "sage", "arma", "graph", "fc", "skip")
LINKS = ("0000", "0001", "0011", "0012", "0013", "0111", "0112", "0122", "0123")
"""The input of each operation: 0 is the network's input, i the i-th operation."""

NODES = (1, 2, 3, 4)

Tree = tuple[str, tuple["Tree", ...]]
"""A network up to isomorphism: an operation and the sorted trees that take its output."""


class NasBenchGraphSpace(Space):
    """Configurations ``{"links": "0012", "op1": "gcn", ..., "op4": "skip"}``.

    Several points may build one network: `canonical` names the first of them, and `enumerate`,
    `size` and `sample` go over distinct networks.
    """

    kind = "nas-bench-graph"

    def __init__(self) -> None:
        operation = CategoricalDistribution(OPERATIONS)
        parameters = [Parameter("links", CategoricalDistribution(LINKS))]
        parameters += [Parameter(f"op{i}", operation) for i in NODES]
        super().__init__("nas-bench-graph", parameters)

    def validate(self, config: Mapping[str, Value]) -> Config:
        """Check a configuration; one that only skips builds no network."""
        checked = super().validate(config)
        if all(checked[f"op{i}"] == "skip" for i in NODES):
            raise ConfigurationError("op1 to op4 are all 'skip': one at least must be another")
        return checked

    def canonical(self, config: Config) -> Config:
        """The first configuration that builds the same network."""
        return dict(_networks()[tree_of(config)])

    def enumerate(self) -> Iterator[Config]:
        """The 26,206 distinct networks, in a fixed order."""
        return (dict(config) for config in _networks().values())

    @cached_property
    def size(self) -> int:
        return len(_networks())

    def sample(self, rng: np.random.Generator, given: Mapping[str, Value] | None = None) -> Config:
        """A uniform draw from the distinct networks; with ``given``, from the points that agree."""
        if given:
            config = super().sample(rng, given)
            while all(config[f"op{i}"] == "skip" for i in NODES):
                free = {k: v for k, v in given.items() if v != "skip"}
                config = super().sample(rng, free)
            return config
        networks = _network_list()
        return dict(networks[int(rng.integers(len(networks)))])

    def features(self, configs: Sequence[Config]) -> np.ndarray:
        """Counts that describe the networks ``[n, 145]``, skips looked through.

        Operations; operations by depth; operations at the output; pairs along the flow; the shape
        of the links; the depth and the number of outputs.
        """
        table, columns = _features()
        rows = [columns[tree_of(config)] for config in configs]
        return np.asarray(table[rows])


def config_of_row(row: Any) -> Config:
    """The configuration of a row (``link0..3``, ``op0..3``) of the published table."""
    links = "".join(str(getattr(row, f"link{i}")) for i in range(4))
    return {"links": links, **{f"op{i + 1}": getattr(row, f"op{i}") for i in range(4)}}


def tree_of(config: Mapping[str, Value]) -> Tree:
    """The network that a configuration builds, up to isomorphism."""
    links = [int(link) for link in str(config["links"])]
    operations = [str(config[f"op{i}"]) for i in NODES]
    return _tree(*_normalise(links, operations), 0)


def _normalise(links: list[int], operations: list[str]) -> tuple[list[int], list[str]]:
    """Take every skip that changes nothing to the front of the network.

    Such a skip has a child, or no sibling, or only skips between itself and the input. Its children
    are joined to its input; it becomes the first operation, to which everything else is joined.
    """
    for i in NODES:
        if operations[i - 1] != "skip" or not _is_idle(links, operations, i):
            continue
        links = [links[i - 1] if link == i else link for link in links]
        rest = [j for j in NODES if j != i]
        links = [0] + [links[j - 1] + 1 if links[j - 1] < i else links[j - 1] for j in rest]
        operations = ["skip"] + [operations[j - 1] for j in rest]
    return links, operations


def _is_idle(links: list[int], operations: list[str], i: int) -> bool:
    has_child = i in links
    has_sibling = links.count(links[i - 1]) > 1
    return has_child or not has_sibling or _skips_above(links, operations, i)


def _skips_above(links: list[int], operations: list[str], i: int) -> bool:
    above = links[i - 1]
    while above and operations[above - 1] == "skip":
        above = links[above - 1]
    return above == 0


def _tree(links: list[int], operations: list[str], node: int) -> Tree:
    children = (_tree(links, operations, j) for j in NODES if links[j - 1] == node)
    return ("input" if node == 0 else operations[node - 1], tuple(sorted(children)))


@cache
def _networks() -> dict[Tree, Config]:
    """Every distinct network with the first configuration that builds it."""
    networks: dict[Tree, Config] = {}
    for links in LINKS:
        for operations in itertools.product(OPERATIONS, repeat=4):
            if operations != ("skip",) * 4:
                config: Config = {"links": links}
                config |= {
                    f"op{i}": operation for i, operation in zip(NODES, operations, strict=True)
                }
                networks.setdefault(tree_of(config), config)
    return networks


@cache
def _network_list() -> list[Config]:
    return list(_networks().values())


@cache
def _features() -> tuple[np.ndarray, dict[Tree, int]]:
    """The features of every network ``[26206, f]``, and the row of each network."""
    counts = [Counter(_describe(tree)) for tree in _networks()]
    names = sorted({name for count in counts for name in count})
    column = {name: i for i, name in enumerate(names)}
    table = np.zeros((len(counts), len(names)))
    for row, count in enumerate(counts):
        for name, number in count.items():
            table[row, column[name]] = number
    return table, {tree: row for row, tree in enumerate(_networks())}


def _describe(tree: Tree) -> Iterator[str]:
    """The features of one network, each as often as it counts."""
    yield from _walk(tree, "input", 0)
    yield f"shape {_shape(tree)}"
    leaves = [depth for _, depth in _leaves(tree, 0)]
    yield from ["depth"] * max(leaves)
    yield from ["outputs"] * len(leaves)


def _shape(tree: Tree) -> tuple[object, ...]:
    return tuple(sorted(_shape(child) for child in tree[1]))


def _walk(tree: Tree, feeder: str, depth: int) -> Iterator[str]:
    for child in tree[1]:
        operation = child[0]
        yield f"operation {operation}"
        yield f"pair {feeder} {operation}"
        yield f"depth {depth} {operation}"
        if not child[1]:
            yield f"output {operation}"
        if operation == "skip":
            yield from _walk(child, feeder, depth)
        else:
            yield from _walk(child, operation, depth + 1)


def _leaves(tree: Tree, depth: int) -> Iterator[tuple[str, int]]:
    for child in tree[1]:
        below = depth + (child[0] != "skip")
        if child[1]:
            yield from _leaves(child, below)
        else:
            yield child[0], below
