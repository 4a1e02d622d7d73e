"""Tasks on texts: what is predicted, and how it is split."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from sklearn.model_selection import train_test_split

from ...common.errors import DataError
from .tables import check_table, plain_labels, read_table

HELD_OUT = 0.2
"""The share of the training data that stands in for a missing validation or test part."""


@dataclass(frozen=True)
class Texts:
    """Texts with their classes.

    Attributes:
        first: The texts, or the first of each pair.
        second: The second of each pair; ``None`` where there are no pairs.
        labels: ``[n]`` int64.
    """

    first: list[str]
    second: list[str] | None
    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.first)

    def at(self, index: Sequence[int] | np.ndarray) -> Texts:
        """The texts at an index ``[k]``."""
        second = None if self.second is None else [self.second[i] for i in index]
        return Texts([self.first[i] for i in index], second, self.labels[np.asarray(index)])

    def __add__(self, other: Texts) -> Texts:
        second = None
        if self.second is not None and other.second is not None:
            second = self.second + other.second
        return Texts(self.first + other.first, second, np.concatenate([self.labels, other.labels]))


class TextClassification:
    """Predict the class of a text, or of a pair of texts; scored by accuracy.

    Args:
        data: The training data: a data frame, a file (CSV, TSV, Parquet, JSON) or a Hugging Face
            dataset.
        name: What the task is called.
        text: The column with the text.
        pair: The column with the second text of a pair.
        label: The column with the class: text or numbers.
        validation, test: The other parts, as ``data``; where one is missing, a fifth of the
            training data stands in, drawn by the seed with the classes' shares kept.
        classes: Names of classes that are numbered from 0; by default those of a Hugging Face
            dataset, else the labels themselves.
        public: Whether everybody has the same data under this name; studies and banks tell others
            apart by their `digest`, too.

    Raises:
        DataError: A column is missing, there is one class only, a text is empty, or a label of the
            validation or test part is not in the training data.

    Example:
        >>> frame = pd.DataFrame({"text": ["good", "bad"] * 20, "label": ["+", "-"] * 20})
        >>> TextClassification(frame, name="toy").classes
        ['+', '-']
    """

    kind = "text classification"
    metric = "accuracy"
    direction = "maximize"

    def __init__(
        self,
        data: Any,
        *,
        name: str,
        text: str = "text",
        pair: str | None = None,
        label: str = "label",
        validation: Any = None,
        test: Any = None,
        classes: Sequence[str] | None = None,
        public: bool = False,
    ) -> None:
        self.name = name
        self.public = public
        if classes is None:  # a Hugging Face dataset knows them
            classes = getattr(dict(getattr(data, "features", None) or {}).get(label), "names", None)
        columns = {"text": text, "label": label} | ({"second text": pair} if pair else {})
        tables = {"train": data, "validation": validation, "test": test}
        frames = {p: read_table(t, name) for p, t in tables.items() if t is not None}
        for part, frame in frames.items():
            check_table(frame, columns, part, name)
        plain_labels(frames, label, name)
        self._values = sorted(frames["train"][label].unique().tolist(), key=_order)
        self._check_classes(frames, label)
        self.classes = self._named(classes)
        self.parts_given = {
            part: self._texts(frame, text, pair, label) for part, frame in frames.items()
        }

    def _check_classes(self, frames: dict[str, pd.DataFrame], label: str) -> None:
        if len(self._values) < 2:
            raise DataError(
                f"task {self.name!r} has one class only ({self._values[0]!r} in {label!r}): there "
                "is nothing to tell apart"
            )
        known = set(self._values)
        for part, frame in frames.items():
            unseen = [value for value in frame[label].unique().tolist() if value not in known]
            if unseen:
                raise DataError(
                    f"task {self.name!r}: label {unseen[0]!r} of the {part} data is not in the "
                    "training data: add examples of it or drop its rows"
                )
        counts = frames["train"][label].value_counts()
        if "validation" not in frames and counts.min() < 2:
            raise DataError(
                f"task {self.name!r}: label {counts.idxmin()!r} has one example only, so none can "
                "be held out: add examples or give validation data"
            )
        rows, classes = len(frames["train"]), len(self._values)
        missing = [part for part in ("validation", "test") if part not in frames]
        left = rows - len(missing) * _held_out(rows, classes)
        if left < classes:
            raise DataError(
                f"task {self.name!r} has {rows} examples of {classes} classes: after "
                f"{' and '.join(missing)} are held out, {left} would be left to learn from; add "
                "examples"
            )

    def _named(self, classes: Sequence[str] | None) -> list[str]:
        """The classes' names, by their numbers where names are given."""
        if classes is None:
            return [str(value) for value in self._values]
        numbers = [int(v) if isinstance(v, float) and v.is_integer() else v for v in self._values]
        other = next((value for value in numbers if not isinstance(value, int)), None)
        if other is not None:
            raise DataError(
                f"task {self.name!r} has label {other!r}, and names are for classes that are "
                "numbered from 0: leave the names out"
            )
        unnamed = [value for value in numbers if not 0 <= value < len(classes)]
        if unnamed:
            raise DataError(
                f"task {self.name!r} has label {unnamed[0]}, and {len(classes)} names of classes "
                "that are numbered from 0: name each, or leave the names out"
            )
        return [str(classes[value]) for value in numbers]

    def _texts(self, frame: pd.DataFrame, text: str, pair: str | None, label: str) -> Texts:
        number = {value: i for i, value in enumerate(self._values)}
        labels = np.array([number[value] for value in frame[label].tolist()], dtype=np.int64)
        second = frame[pair].astype(str).tolist() if pair else None
        return Texts(frame[text].astype(str).tolist(), second, labels)

    @cached_property
    def digest(self) -> str:
        """A digest of texts, labels and parts, in their order."""
        digest = hashlib.blake2b(digest_size=8)
        for part, texts in self.parts_given.items():
            rows = [part, texts.first, texts.second, texts.labels.tolist()]
            digest.update(json.dumps(rows).encode())
        digest.update(json.dumps(self.classes).encode())
        return digest.hexdigest()

    @property
    def pairs(self) -> bool:
        """Whether each example is a pair of texts."""
        return self.parts_given["train"].second is not None

    def parts(self, seed: int, examples: int | None = None) -> dict[str, Texts]:
        """The ``train``, ``validation`` and ``test`` texts.

        Each class is in the training part, however few examples it has.

        Args:
            seed: Draws what is held out and, where there are more, the examples that are used.
            examples: At most so many training examples, half as many for validation, and as many
                for the test of a trial.

        Raises:
            DataError: There are fewer examples than classes.
        """
        if examples is not None and examples < len(self.classes):
            raise DataError(
                f"task {self.name!r} has {len(self.classes)} classes: {examples} examples cannot "
                f"show them all; give {len(self.classes)} at least"
            )
        parts = dict(self.parts_given)
        count = _held_out(len(parts["train"]), len(self.classes))
        for part in ("validation", "test"):
            if part not in parts:
                parts["train"], parts[part] = _divided(parts["train"], count, seed, whole="rest")
        if examples is not None:
            half = max(examples // 2, 1)
            for part, most in (("train", examples), ("validation", half), ("test", examples)):
                if len(parts[part]) > most:
                    whole = "drawn" if part == "train" else ""
                    parts[part] = _divided(parts[part], most, seed, whole=whole)[1]
        return parts

    def describe(self) -> dict[str, Any]:
        """Plain facts for people and records."""
        train = self.parts_given["train"]
        return {
            "kind": self.kind,
            "metric": self.metric,
            "examples": {part: len(texts) for part, texts in self.parts_given.items()},
            "classes": len(self.classes),
            "pairs": self.pairs,
            "split": "given" if len(self.parts_given) == 3 else "a fifth held out by seed",
            "majority_share": float(np.bincount(train.labels).max() / len(train)),
        }


def _order(value: Any) -> tuple[bool, Any]:
    return isinstance(value, str), value


def _held_out(rows: int, classes: int) -> int:
    """How many examples stand in for a missing part."""
    return max(classes, round(HELD_OUT * rows))


def _divided(texts: Texts, count: int, seed: int, *, whole: str) -> tuple[Texts, Texts]:
    """(the rest, ``count`` texts), classes' shares kept where each class can be in both.

    Args:
        texts: What is divided.
        count: How many are drawn.
        seed: Draws them.
        whole: The side that must have each class, ``"rest"`` or ``"drawn"``; empty for neither.
    """
    present, sizes = np.unique(texts.labels, return_counts=True)
    if sizes.min() > 1 and count >= len(present) <= len(texts) - count:
        rest, drawn = train_test_split(
            np.arange(len(texts)), test_size=count, random_state=seed, stratify=texts.labels
        )
        side = {"rest": rest, "drawn": drawn}.get(whole)
        if side is None or len(np.unique(texts.labels[side])) == len(present):
            return texts.at(np.sort(rest)), texts.at(np.sort(drawn))
    order = np.random.default_rng(seed).permutation(len(texts))
    if whole:  # one of each class goes to that side
        first = np.sort(np.unique(texts.labels[order], return_index=True)[1])
        one, others = order[first], np.delete(order, first)
        order = np.concatenate([one, others] if whole == "drawn" else [others, one])
    return texts.at(np.sort(order[count:])), texts.at(np.sort(order[:count]))
