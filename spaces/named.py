"""The spaces that are known by name."""

from __future__ import annotations

import importlib

from ..common.errors import unknown_name
from .space import Space

SPACES = {
    "darts": "cell:darts_space",
    "elastic": "elastic:elastic_space",
    "elastic-imagenet": "elastic:elastic_imagenet_space",
    "gnn": "gnn:gnn_space",
    "nas-bench-201": "cell:nas_bench_201_space",
    "nas-bench-graph": "nas_bench_graph:NasBenchGraphSpace",
    "peft": "peft:peft_space",
}
"""What makes each space, ``module:callable`` in this package; called without arguments."""


def make_space(name: str) -> Space:
    """A space by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in SPACES:
        raise unknown_name("space", name, SPACES)
    module, maker = SPACES[name].split(":")
    space: Space = getattr(importlib.import_module(f".{module}", __package__), maker)()
    return space
