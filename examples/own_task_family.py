"""Choose on which of many related tasks to train: noise levels of a sensor.

A classifier trained at one noise level is used at all of them: which few levels are worth it?
"""

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.datasets import load_digits
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split

from bequest import TaskSelection

IMAGES, LABELS = load_digits(return_X_y=True)
TRAIN, TEST, TRAIN_LABELS, TEST_LABELS = train_test_split(IMAGES / 16, LABELS, random_state=0)
NOISES = np.linspace(0, 1, 33)


def noisy(images: np.ndarray, noise: float) -> np.ndarray:
    return images + noise * np.random.default_rng(0).normal(size=images.shape)


def train(context: np.ndarray) -> ClassifierMixin:
    """Train on one context: here, one noise level."""
    return LogisticRegression(max_iter=500).fit(noisy(TRAIN, context[0]), TRAIN_LABELS)


def evaluate(model: ClassifierMixin, contexts: np.ndarray) -> list[float]:
    """Measure on every context."""
    return [float(model.score(noisy(TEST, noise), TEST_LABELS)) for (noise,) in contexts]


if __name__ == "__main__":
    selection = TaskSelection(NOISES, train, evaluate, name="sensor-noise", dimensions=["noise"])
    selection.run(budget=4)
    print(f"accuracy {selection.value:.3f} on average with sources {selection.chosen.ravel()}")
