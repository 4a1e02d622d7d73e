"""Tables of texts: read from wherever a user has them, and checked before any training."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from ...common.errors import DataError

_AS_WRITTEN: dict[str, Any] = {"keep_default_na": False, "na_values": [""], "dtype": str}
"""Only an empty cell is empty (``None`` and ``NA`` are words), and ``007`` is no number."""

_JSON_AS_WRITTEN: dict[str, Any] = {
    "dtype": False,
    "convert_dates": False,
    "convert_axes": False,
}
"""JSON says itself what is a number."""

_NUMBER = re.compile(r"0|-?[1-9][0-9]*")

READERS: dict[str, Callable[..., Any]] = {
    ".csv": lambda path: pd.read_csv(path, **_AS_WRITTEN),
    ".tsv": lambda path: _read_tsv(path),
    ".parquet": pd.read_parquet,
    ".json": lambda path: pd.read_json(path, **_JSON_AS_WRITTEN),
    ".jsonl": lambda path: pd.read_json(path, lines=True, **_JSON_AS_WRITTEN),
}


def read_table(source: Any, name: str) -> pd.DataFrame:
    """A data frame of what a user has.

    Args:
        source: A data frame, a file (CSV, TSV, Parquet, JSON, JSON lines), a Hugging Face dataset,
            or what `pandas.DataFrame` takes.
        name: The task's name, for messages.

    Raises:
        DataError: The file is missing, of another kind, or cannot be read.
    """
    if isinstance(source, Mapping) and all(hasattr(part, "to_pandas") for part in source.values()):
        raise DataError(
            f"task {name!r} was given the parts {', '.join(map(str, source))}: give each as "
            "data=, validation=, test="
        )
    if isinstance(source, pd.DataFrame):
        return source.reset_index(drop=True)
    if isinstance(source, (str, Path)):
        return _read_file(Path(source))
    if hasattr(source, "to_pandas"):
        frame: pd.DataFrame = source.to_pandas()
        return frame.reset_index(drop=True)
    try:
        return pd.DataFrame(source)
    except (ValueError, TypeError) as error:
        raise DataError(
            f"task {name!r} was given {type(source).__name__}: give a data frame, a file or a "
            "Hugging Face dataset"
        ) from error


def _read_file(path: Path) -> pd.DataFrame:
    if path.suffix not in READERS:
        raise DataError(f"cannot read {path.name!r}: give a file that ends in {', '.join(READERS)}")
    if not path.exists():
        raise DataError(f"there is no file {str(path)!r}")
    try:
        frame: pd.DataFrame = READERS[path.suffix](path)
    except (ValueError, OSError, pd.errors.ParserError) as error:
        raise DataError(f"cannot read {str(path)!r}: {error}") from error
    return frame


def _read_tsv(path: Path) -> pd.DataFrame:
    """Tab-separated values, whether quotes enclose cells or are part of the text.

    A quote that is part of a text opens a cell that swallows the rows up to the next one: where
    cells have line breaks, and the lines as they are make whole rows, these are the rows.
    """
    quoted = _tsv(path, csv.QUOTE_MINIMAL)
    if quoted is not None:
        text = quoted.astype(str)
        if not text.apply(lambda column: column.str.contains("\n")).any(axis=None):
            return quoted
    plain = _tsv(path, csv.QUOTE_NONE)
    if plain is not None and (quoted is None or not plain.isna().any(axis=None)):
        return plain
    if quoted is None:
        raise ValueError("its rows have different numbers of cells")
    return quoted


def _tsv(path: Path, quoting: int) -> pd.DataFrame | None:
    try:
        return pd.read_csv(path, sep="\t", quoting=quoting, **_AS_WRITTEN)
    except pd.errors.ParserError:
        return None


def check_table(frame: pd.DataFrame, columns: Mapping[str, str], part: str, name: str) -> None:
    """Check that a table has its columns, and no empty cell in them.

    Args:
        frame: The table.
        columns: The columns that are needed, by their role.
        part: ``"train"``, ``"validation"`` or ``"test"``, for messages.
        name: The task's name, for messages.

    Raises:
        DataError: A column is missing, a row is, or a cell is empty.
    """
    for role, column in columns.items():
        if column not in frame.columns:
            raise DataError(
                f"task {name!r}: the {part} data has no column {column!r} for the {role}: it has "
                f"{', '.join(map(str, frame.columns))}"
            )
        empty = frame[column].isna() | (frame[column].astype(str).str.strip() == "")
        if empty.any():
            raise DataError(
                f"task {name!r}: row {int(empty.idxmax())} of the {part} data has an empty {role} "
                f"({column!r}): fill it or drop the row"
            )
    if not len(frame):
        raise DataError(f"task {name!r}: the {part} data has no row")


def plain_labels(frames: Mapping[str, pd.DataFrame], column: str, name: str) -> None:
    """Make the labels of all parts values of one kind, in place.

    They are integers where all are, also where a file has them as text; where numbers and words are
    mixed, all are words.

    Args:
        frames: The parts.
        column: The labels'.
        name: The task's name, for messages.

    Raises:
        DataError: A label is a list or another thing that is no plain value.
    """
    labels = {part: frame[column].astype(object).tolist() for part, frame in frames.items()}
    distinct: set[Any] = set()
    for part, values in labels.items():
        try:
            distinct.update(values)
        except TypeError:
            kind = type(next(v for v in values if not isinstance(v, Hashable))).__name__
            raise DataError(
                f"task {name!r}: column {column!r} of the {part} data holds a {kind} as a label: "
                "give one class for each example, as a word or a number"
            ) from None
    texts = {value for value in distinct if isinstance(value, str)}
    if all(map(_NUMBER.fullmatch, texts)) and not any(isinstance(v, float) for v in distinct):
        read: dict[Any, Any] = {text: int(text) for text in texts}
    else:
        read = {value: str(value) for value in distinct} if texts else {}
    for part, frame in frames.items():
        values = pd.Series([read.get(v, v) for v in labels[part]], dtype=object, index=frame.index)
        frames[part][column] = values
