"""Search anything: a function from a configuration to a number, and a space."""

from typing import Any

from optuna.distributions import CategoricalDistribution, FloatDistribution
from sklearn.datasets import load_wine
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from bequest import Condition, Parameter, Space, Study

SPACE = Space(
    "svm",
    [
        Parameter("kernel", CategoricalDistribution(["linear", "rbf"])),
        Parameter("C", FloatDistribution(1e-3, 1e3, log=True)),
        Parameter("gamma", FloatDistribution(1e-4, 1.0, log=True), Condition("kernel", ("rbf",))),
    ],
)


def accuracy(config: dict[str, Any]) -> float:
    """Cross-validated accuracy of a support vector machine."""
    x, y = load_wine(return_X_y=True)
    return float(cross_val_score(make_pipeline(StandardScaler(), SVC(**config)), x, y).mean())


if __name__ == "__main__":
    study = Study.of(accuracy, SPACE, name="wine-svm", metric="accuracy").run(trials=20)
    print(f"best accuracy {study.best.value:.3f} with {study.best.config}")
