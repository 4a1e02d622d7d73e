"""Search how to fine-tune a language model for texts of your own, keep the winner, use it.

Here the texts are made up: questions about people, places and times. It needs the extra
`peft`: ``pip install -c constraints.txt '.[peft]'`` in a checkout.
"""

import itertools

import pandas as pd

import bequest

QUESTIONS = {
    "person": ("who wrote", "who painted", "which artist made", "by whom was made"),
    "place": ("where is", "in which museum is", "which city owns", "from where comes"),
    "time": ("when was made", "in which year appeared", "how old is", "since when exists"),
}
THINGS = ("Faust", "the Mona Lisa", "Guernica", "the Night Watch", "Hamlet", "the Thinker")


def questions() -> pd.DataFrame:
    """72 questions with the kind of thing that they ask for."""
    rows = [
        {"question": f"{start} {thing}?", "kind": kind}
        for kind, starts in QUESTIONS.items()
        for start, thing in itertools.product(starts, THINGS)
    ]
    return pd.DataFrame(rows)


if __name__ == "__main__":
    task = bequest.TextClassification(questions(), name="questions", text="question", label="kind")
    evaluator = bequest.TextEvaluator(task, methods=("probe", "lora", "lst", "bitfit"))
    study = bequest.Study(evaluator).run(trials=6)
    print(f"best validation accuracy {study.best.value:.3f} with {study.best.config}")
    model = study.fit_best()
    print(f"test accuracy {model.metrics['test_accuracy']:.3f}")
    print("asks for a", model.predict(["who composed the Magic Flute?"])[0])
