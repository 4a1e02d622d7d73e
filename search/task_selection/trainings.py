"""The user's own functions of a task selection: trained models, or why there is none."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import BequestError, SelectionError

FAILURES = (BequestError, ArithmeticError, RuntimeError, ValueError)
"""What a training may raise without ending the selection: the source counts as failed."""


@dataclass(frozen=True)
class Trainings:
    """Calls what trains.

    Attributes:
        train: Takes a context ``[d]``, and a ``seed`` where it has such a parameter.
        train_batch: Takes contexts ``[q, d]`` and returns q models; may be missing.
        seed: Of every training.
    """

    train: Callable[..., Any]
    train_batch: Callable[..., Any] | None
    seed: int

    def one(self, context: np.ndarray) -> Any:
        """The model of a context ``[d]``; whatever the function raises comes through."""
        return self._called(self.train, context)

    def each(self, contexts: np.ndarray) -> Iterator[Any]:
        """A model, or the reason why there is none, for each of contexts ``[q, d]``."""
        if len(contexts) > 1 and self.train_batch is not None:
            try:
                models = list(self._called(self.train_batch, contexts))
                if len(models) != len(contexts):
                    raise SelectionError(
                        f"train_batch returned {len(models)} models for {len(contexts)} contexts"
                    )
            except FAILURES as failure:
                models = [failure] * len(contexts)
            yield from models
            return
        for context in contexts:
            try:
                yield self.one(context)
            except FAILURES as failure:
                yield failure

    def _called(self, train: Callable[..., Any], where: np.ndarray) -> Any:
        if "seed" in inspect.signature(train).parameters:
            return train(where, seed=self.seed)
        return train(where)
