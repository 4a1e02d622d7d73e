"""The spaces that can be asked for by name."""

from __future__ import annotations

from collections.abc import Callable

from ..common.errors import unknown_name
from ..common.registry import register, resolve
from .space import Space

SPACES: dict[str, str | Callable[[], Space]] = {
    "darts": ".cell:darts_space",
    "elastic": ".elastic:elastic_space",
    "elastic-imagenet": ".elastic:elastic_imagenet_space",
    "gnn": ".gnn:gnn_space",
    "nas-bench-201": ".cell:nas_bench_201_space",
    "nas-bench-graph": ".nas_bench_graph:NasBenchGraphSpace",
    "peft": "..evaluators.peft.space:peft_space",
}
"""What makes each space when called without arguments; a dot means below this package.

The space of fine-tuning is made of the methods, which lie above this package: its entry is the only
one that leads there, and only when it is asked for.

An evaluator that is not registered for a space cannot be found by its name: see
`bequest.evaluators.factory.register_evaluator`.
"""


def register_space(name: str, make: Callable[[], Space]) -> None:
    """Register a space; ``del SPACES[name]`` takes it out again.

    Args:
        name: How it is asked for.
        make: Makes it, called without arguments.

    Raises:
        BequestError: The name is taken.
    """
    register(SPACES, "space", name, make)


def make_space(name: str) -> Space:
    """A space by its name.

    Raises:
        UnknownNameError: There is none of that name.
    """
    if name not in SPACES:
        raise unknown_name("space", name, SPACES)
    space: Space = resolve(SPACES[name], __package__)()
    return space
