"""Search convolutional cells by gradient on images of your own, then train what was derived.

Here the images are scikit-learn's digits; anything of [n, channels, height, width] will do.
"""

from sklearn.datasets import load_digits

import bequest
from bequest.evaluators.image.training import Budget
from bequest.search.two_stage.one_shot.settings import OneShotSettings, Regularisation


def main() -> None:
    """Twelve epochs of RARTS, then four trainings from scratch, one of them of a random cell."""
    data = load_digits()
    task = bequest.ImageClassification(data.images, data.target, name="my-digits")
    evaluator = bequest.ImageEvaluator(task, budget=Budget(epochs=8))
    settings = OneShotSettings(method="rarts", epochs=12, regularisation=Regularisation(warmup=2))
    study = bequest.Study(evaluator, sampler=settings, name="my-digits")
    study.run(trials=4)
    findings = study.record.findings("relaxed")
    print(f"{findings['collapse']}; derived by {[c['origin'] for c in findings['candidates'][:3]]}")
    print(f"best validation accuracy {study.best.value:.3f} with {study.best.config}")
    model = study.fit_best()
    print(f"test accuracy {model.metrics['test_accuracy']:.3f}")
    print("predicted digits:", model.predict(data.images[:5]).tolist())
    print("report:", study.report("my-digits.html"))


if __name__ == "__main__":
    main()
