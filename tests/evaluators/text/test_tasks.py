"""Tasks of texts: where they come from, how they are split, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pandas as pd
import pytest

from bequest.common.errors import DataError
from bequest.evaluators import load_task
from bequest.evaluators.text.tasks import TextClassification


def frame(count: int = 40) -> pd.DataFrame:
    kinds = ["place", "human"]
    return pd.DataFrame(
        {
            "question": [f"question number {i}" for i in range(count)],
            "context": [f"context {i}" for i in range(count)],
            "kind": [kinds[i % 2] for i in range(count)],
        }
    )


def make(data: Any, **options: Any) -> TextClassification:
    return TextClassification(data, name="mine", text="question", label="kind", **options)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet", "jsonl"])
def test_files_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"data.{suffix}"
    if suffix == "parquet":
        frame().to_parquet(path)
    elif suffix == "jsonl":
        frame().to_json(path, orient="records", lines=True)
    else:
        frame().to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",")
    task = make(path)
    assert task.classes == ["human", "place"]
    assert task.parts_given["train"].first == frame().question.tolist()


def test_a_hugging_face_dataset_is_read() -> None:
    class Dataset:
        def to_pandas(self) -> pd.DataFrame:
            return frame()

    assert make(Dataset()).classes == ["human", "place"]


def test_a_datasets_classes_have_their_names() -> None:
    class ClassLabel:
        names: ClassVar = ["a place", "a person"]

    class Dataset:
        features: ClassVar = {"kind": ClassLabel()}

        def to_pandas(self) -> pd.DataFrame:
            return frame().assign(kind=[i % 2 for i in range(40)])

    assert make(Dataset()).classes == ["a place", "a person"]
    with pytest.raises(DataError, match="parts train, test: give each as data=, validation="):
        make({"train": Dataset(), "test": Dataset()})


def test_missing_parts_are_held_out_and_disjoint() -> None:
    parts = make(frame()).parts(0)
    texts = [set(part.first) for part in parts.values()]
    assert [len(t) for t in texts] == [24, 8, 8]
    assert len(set.union(*texts)) == 40
    assert all(np.bincount(p.labels).tolist() == [len(p) / 2] * 2 for p in parts.values())


def test_the_seed_decides_the_split() -> None:
    task = make(frame())
    assert task.parts(1)["test"].first == task.parts(1)["test"].first
    assert task.parts(1)["test"].first != task.parts(2)["test"].first


def test_fewer_examples_are_drawn_evenly() -> None:
    parts = make(frame(), validation=frame(), test=frame()).parts(0, examples=10)
    assert [len(part) for part in parts.values()] == [10, 5, 10]
    assert np.bincount(parts["train"].labels).tolist() == [5, 5]


def test_pairs() -> None:
    task = make(frame(), pair="context")
    assert task.pairs
    both = task.parts(0)["train"] + task.parts(0)["validation"]
    assert both.second is not None
    assert len(both.second) == len(both.labels) == 32


def test_numbered_classes_get_their_names() -> None:
    data = pd.DataFrame({"text": list("abcd") * 5, "label": [0, 1] * 10})
    assert TextClassification(data, name="n", classes=["no", "yes"]).classes == ["no", "yes"]
    whole = data.assign(label=data["label"].astype(float))
    assert TextClassification(whole, name="n", classes=["no", "yes"]).classes == ["no", "yes"]
    words = data.assign(label=["0", "b"] * 10)
    with pytest.raises(DataError, match="label '0', and names are for classes that are numbered"):
        TextClassification(words, name="n", classes=["no", "yes"])


def changed(column: str, value: Any, row: int = 3) -> pd.DataFrame:
    data = frame()
    data.loc[row, column] = value
    return data


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (frame().drop(columns="kind"), {}, "no column 'kind' for the label: it has question"),
        (frame().assign(kind="place"), {}, "one class only"),
        (changed("question", "  "), {}, "row 3 of the train data has an empty text"),
        (changed("kind", None), {}, "row 3 of the train data has an empty label"),
        (frame()[:0], {}, "no row"),
        (changed("kind", "rare"), {}, "'rare' has one example only"),
        (frame(), {"validation": changed("kind", "new")}, "'new' of the validation data is not in"),
        (frame(), {"pair": "second"}, "no column 'second' for the second text"),
        ("nowhere.csv", {}, "no file 'nowhere.csv'"),
        ("data.xlsx", {}, "give a file that ends in"),
        (7, {}, "give a data frame, a file or a Hugging Face dataset"),
    ],
)
def test_bad_data_is_refused_with_a_reason(data: Any, options: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        make(data, **options)


def test_named_tasks(data_root: Path) -> None:
    task: Any = load_task("trec6", data_root)
    assert task.describe()["classes"] == 6
    assert task.describe()["split"] == "given"
    assert "ABBR" in task.classes


def test_a_named_task_without_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BEQUEST_DATA", raising=False)
    with pytest.raises(DataError, match=r"no data for task 'trec6'.*text/trec6/train.parquet"):
        load_task("trec6")


def test_words_like_none_are_words(tmp_path: Path) -> None:
    path = tmp_path / "data.csv"
    path.write_text("question,kind\n" + "null,None\nNA,yes\n" * 5)
    task = make(path)
    assert task.classes == ["None", "yes"]
    assert task.parts_given["train"].first[:2] == ["null", "NA"]


def test_a_quote_in_a_tsv_swallows_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    rows = ['"hello there\ty', "bye\tx", 'she said "yes\ty', 'no"\tx'] * 4
    path.write_text("question\tkind\n" + "\n".join(rows) + "\n")
    assert make(path).parts_given["train"].first[:2] == ['"hello there', "bye"]


def test_line_breaks_in_a_tsv_stay(tmp_path: Path) -> None:
    path = tmp_path / "data.tsv"
    data = frame()
    data.loc[3, "question"] = 'two\nlines, "quoted"\tand a tab'
    data.to_csv(path, sep="\t", index=False)
    assert make(path).parts_given["train"].first == data.question.tolist()


@pytest.mark.parametrize("seed", range(20))
def test_rare_classes_stay_in_the_training_part(seed: int) -> None:
    data = frame(200)
    data.loc[[7, 8], "kind"] = ["rare", "rarer"]
    task = make(data, validation=frame(20))
    assert set(task.parts(seed)["train"].labels) == {0, 1, 2, 3}
    assert set(task.parts(seed, examples=10)["train"].labels) == {0, 1, 2, 3}
    again = task.parts(seed, examples=10)["train"]
    assert again.first == task.parts(seed, examples=10)["train"].first


def test_too_few_examples_are_refused() -> None:
    with pytest.raises(DataError, match="4 examples of 2 classes: after validation and test"):
        make(frame(4))
    with pytest.raises(DataError, match="2 classes: 1 examples cannot show them all; give 2"):
        make(frame()).parts(0, examples=1)


@pytest.mark.parametrize("label", [3, -1])
def test_a_label_without_a_name_is_refused(label: int) -> None:
    data = frame()
    data["kind"] = [i % 3 for i in range(40)]
    data.loc[0, "kind"] = label
    with pytest.raises(DataError, match=rf"label {label}, and 3 names"):
        make(data, validation=frame(4).assign(kind=0), classes=["a", "b", "c"])


# Labels -------------------------------------------------------------------------------------------


def write(path: Path, labels: list[Any]) -> Path:
    texts = [f"{i:03}" for i in range(len(labels))]
    pd.DataFrame({"question": texts, "kind": labels}).to_csv(path, index=False)
    return path


def test_cells_of_a_file_are_as_written(tmp_path: Path) -> None:
    task = make(write(tmp_path / "a.csv", ["01", "1", "1.0"] * 10))
    assert task.classes == ["01", "1", "1.0"]
    assert task.parts_given["train"].first[:2] == ["000", "001"]


@pytest.mark.parametrize("lines", [True, False])
def test_json_is_as_written(tmp_path: Path, lines: bool) -> None:
    rows = [{"question": f"{i:03}", "kind": ["01", "1"][i % 2]} for i in range(20)]
    path = tmp_path / ("a.jsonl" if lines else "a.json")
    path.write_text("\n".join(map(json.dumps, rows)) if lines else json.dumps(rows))
    task = make(path)
    assert task.classes == ["01", "1"]
    assert task.parts_given["train"].first[:2] == ["000", "001"]


def test_numbers_and_words_are_classes_of_one_kind(tmp_path: Path) -> None:
    # Readers guess a column's type by pieces of the file.
    long = write(tmp_path / "long.csv", [i % 3 for i in range(70_000)] + ["other"] * 20)
    assert make(long).classes == ["0", "1", "2", "other"]
    task = make(
        write(tmp_path / "a.csv", [1, 2, "other"] * 10), test=write(tmp_path / "b.csv", [2, 1, 1])
    )
    assert task.classes == ["1", "2", "other"]
    assert task.parts_given["test"].labels.tolist() == [1, 0, 0]
    mixed = frame().assign(kind=[1, "1", 2, "2"] * 10)
    assert make(mixed).classes == ["1", "2"]


def test_numbers_in_files_are_in_order_and_take_names(tmp_path: Path) -> None:
    path = write(tmp_path / "a.csv", [10, 9, 0] * 10)
    assert make(path).classes == ["0", "9", "10"]
    assert make(write(path, [1, 0] * 10), classes=["no", "yes"]).classes == ["no", "yes"]


def test_categories_that_nobody_has_are_no_classes() -> None:
    kinds = pd.Categorical(["a", "b"] * 20, categories=["a", "b", "c"])
    assert make(frame().assign(kind=kinds)).classes == ["a", "b"]


def test_lists_as_labels_are_refused() -> None:
    with pytest.raises(DataError, match="of the train data holds a list as a label"):
        make(frame().assign(kind=[["a"], ["b"]] * 20))


def test_the_digest_tells_data_apart(tmp_path: Path) -> None:
    same, other = make(frame()), make(frame().assign(kind=["human", "place"] * 20))
    assert make(frame()).digest == same.digest != other.digest
    assert make(frame(), test=frame(10)).digest != same.digest
