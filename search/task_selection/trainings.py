"""Calls the user's functions of a task selection: models or the reason of a failure; returns."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...common.errors import BequestError, SelectionError

FAILURES = (BequestError, ArithmeticError, RuntimeError, ValueError)
"""What a training may raise without ending the selection: the source counts as failed."""


@dataclass(frozen=True)
class Trainings:
    """Calls what trains and what evaluates.

    Attributes:
        train: Takes a context ``[d]``, and a ``seed`` where it has such a parameter.
        train_batch: Takes contexts ``[q, d]`` and returns q models; may be missing.
        evaluate: Takes a model and contexts ``[N, d]`` and returns ``N`` returns.
        seed: Of every training.
    """

    train: Callable[..., Any]
    train_batch: Callable[..., Any] | None
    evaluate: Callable[..., Any]
    seed: int

    def in_one_call(self, count: int) -> bool:
        """Whether so many contexts are trained in one call."""
        return count > 1 and self.train_batch is not None

    def again(self, contexts: np.ndarray, place: int) -> Any:
        """The model at a place of contexts ``[q, d]`` that were trained together.

        What one call draws at random may be shared among its contexts. Whatever the function raises
        comes through.
        """
        model = list(self.each(contexts))[place]
        if isinstance(model, Exception):
            raise model
        return model

    def returns(self, model: Any, contexts: np.ndarray) -> np.ndarray:
        """A model's returns on contexts ``[N, d]``: ``[N]``.

        Raises:
            SelectionError: One of them is infinite.
        """
        row = np.asarray(self.evaluate(model, contexts), dtype=float)
        if np.isinf(row).any():
            raise SelectionError(
                "infinite returns: give NaN where nothing can be said, or a large number"
            )
        return row

    def each(self, contexts: np.ndarray) -> Iterator[Any]:
        """A model, or the reason why there is none, for each of contexts ``[q, d]``."""
        if self.in_one_call(len(contexts)):
            assert self.train_batch is not None
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
                yield self._called(self.train, context)
            except FAILURES as failure:
                yield failure

    def _called(self, train: Callable[..., Any], where: np.ndarray) -> Any:
        if "seed" in inspect.signature(train).parameters:
            return train(where, seed=self.seed)
        return train(where)
