"""A family of related tasks that trains in seconds: scikit-learn's digits, turned by an angle."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

ANGLES = tuple(float(a) for a in range(0, 181, 5))
TEST_SHARE = 0.4


class RotatedDigits:
    """Classifiers of digits turned by one angle, measured on all angles.

    Attributes:
        name: ``rotated-digits``.
        contexts: The angles in degrees ``[N, 1]``.
        dimensions: What the contexts' dimensions are called.

    Args:
        angles: In degrees.
        seed: Decides which images are trained on and which are measured on.
    """

    name = "rotated-digits"
    dimensions = ("angle",)

    def __init__(self, angles: tuple[float, ...] = ANGLES, *, seed: int = 0) -> None:
        self.contexts = np.array(angles, dtype=float)[:, None]
        labels = _digits()[1]
        order = np.random.default_rng(seed).permutation(len(labels))
        cut = int(len(labels) * (1 - TEST_SHARE))
        self._train, self._test = order[:cut], order[cut:]

    def train(self, context: np.ndarray) -> Any:
        """A support vector classifier of the training images, turned by one angle."""
        from sklearn.svm import SVC

        labels = _digits()[1][self._train]
        turned = _turned(float(context[0]))[self._train]
        return SVC(C=10.0).fit(turned, labels)

    def evaluate(self, model: Any, contexts: np.ndarray) -> np.ndarray:
        """The accuracy on the other images, turned by each angle ``[N, 1]``: ``[N]``."""
        labels = _digits()[1][self._test]
        turned = np.concatenate([_turned(float(a))[self._test] for a in contexts[:, 0]])
        right = model.predict(turned).reshape(len(contexts), -1) == labels
        accuracy: np.ndarray = right.mean(1)
        return accuracy


def open_rotated_digits(name: str) -> RotatedDigits:
    """The family as it is known by name."""
    return RotatedDigits()


@cache
def _digits() -> tuple[np.ndarray, np.ndarray]:
    from sklearn.datasets import load_digits

    digits = load_digits()
    return digits.images / 16.0, digits.target


@cache
def _turned(angle: float) -> np.ndarray:
    """Every image, turned ``[images, 64]``."""
    from scipy.ndimage import rotate

    images = _digits()[0]
    turned: np.ndarray = rotate(images, angle, axes=(1, 2), reshape=False, order=1)
    return turned.reshape(len(images), -1)
