"""Banks as files: a folder of Parquet files, and published result tables."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from ..common.errors import BankError, BequestError, reason_of
from ..spaces import Space
from ..spaces.graphgym import EXPERIMENT, GRID, graphgym_space
from ..spaces.nas_bench_graph import NasBenchGraphSpace, config_of_row
from .bank import Bank
from .record import BankTask, Record

FORMAT_VERSION = 1

_TASKS = {
    "task": pa.string(),
    "metric": pa.string(),
    "direction": pa.string(),
    "kind": pa.string(),
    "facts": pa.string(),
}
_DESIGNS = {
    "design": pa.int32(),
    "space": pa.string(),
    "config": pa.string(),
    "origin": pa.string(),
}
_RECORDS = {
    "task": pa.string(),
    "design": pa.int32(),
    "seed": pa.int64(),
    "fidelity": pa.float64(),
    "value": pa.float64(),
    "seconds": pa.float64(),
    "metrics": pa.string(),
    "curve": pa.string(),
    "error": pa.string(),
    "source": pa.string(),
}
_FINGERPRINTS = {"task": pa.string(), "name": pa.string(), "vector": pa.list_(pa.float64())}
TABLES = {
    "tasks": _TASKS,
    "designs": _DESIGNS,
    "records": _RECORDS,
    "fingerprints": _FINGERPRINTS,
}


# Folders of Parquet files -------------------------------------------------------------------------


def export_bank(bank: Bank, folder: str | Path) -> int:
    """Write a whole bank as ``bank.json`` and one Parquet file a table.

    Returns:
        How many records were written.

    Raises:
        BankError: The folder cannot be written.
    """
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in TABLES}
    numbers: dict[str, int] = {}
    for task in bank.tasks:
        facts = json.dumps(task.facts)
        rows["tasks"].append({**_plain(task, _TASKS), "task": task.name, "facts": facts})
        for space, record in bank.records(task.name):
            config = json.dumps(record.config)
            key = f"{space.hash} {config}"
            if key not in numbers:
                numbers[key] = len(numbers)
                design = {"design": numbers[key], "space": space.hash, "config": config}
                rows["designs"].append({**design, "origin": record.origin})
            texts = {"metrics": json.dumps(record.metrics), "curve": json.dumps(record.curve)}
            rows["records"].append(
                {
                    **_plain(record, _RECORDS),
                    **texts,
                    "task": task.name,
                    "design": numbers[key],
                    "seconds": None if math.isnan(record.seconds) else record.seconds,
                }
            )
    for name in bank.fingerprint_names():
        for task_name, vector in bank.fingerprints(name).items():
            row = {"task": task_name, "name": name, "vector": vector.tolist()}
            rows["fingerprints"].append(row)
    spaces = {space.hash: space.to_json() for space in bank.spaces()}
    try:
        _write(Path(folder), rows, spaces)
    except OSError as error:
        raise BankError(
            f"cannot write a bank to {str(folder)!r} ({reason_of(error)}): give a folder that can "
            "be written"
        ) from error
    return len(rows["records"])


def _write(folder: Path, rows: dict[str, list[dict[str, Any]]], spaces: dict[str, Any]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # A folder without bank.json is refused as a broken export: it is removed first, written last.
    (folder / "bank.json").unlink(missing_ok=True)
    digests = {}
    for name, columns in TABLES.items():
        path = folder / f"{name}.parquet"
        table = pa.Table.from_pylist(rows[name], schema=pa.schema(list(columns.items())))
        pq.write_table(table, path, compression="zstd", compression_level=19)
        digests[name] = _digest(path.read_bytes())
    document = {"format_version": FORMAT_VERSION, "digests": digests, "spaces": spaces}
    (folder / "bank.json").write_text(json.dumps(document, indent=1))


def import_bank(bank: Bank, folder: str | Path) -> int:
    """Add what a folder holds, all or nothing.

    Returns:
        How many records were new.

    Raises:
        BankError: It is no bank's folder, of another version, damaged, or has columns that are
            missing or unknown. The bank is left as it was.
    """
    path = Path(folder)
    spaces, digests = _read_head(path)
    tables = {
        name: _read_table(path / f"{name}.parquet", columns, digests.get(name))
        for name, columns in TABLES.items()
    }
    try:
        parts = list(_parts(spaces, tables))
        fingerprints = [(r["task"], r["name"], r["vector"]) for r in tables["fingerprints"]]
        return bank.append_all(parts, fingerprints)
    except (KeyError, TypeError, ValueError) as error:
        if isinstance(error, BequestError):
            raise
        raise BankError(f"the bank in {str(path)!r} is damaged: {error!r}") from error


def version_of(folder: str | Path) -> str:
    """A digest of the content of a folder."""
    digest = hashlib.sha256()
    for name in TABLES:
        digest.update((Path(folder) / f"{name}.parquet").read_bytes())
    return digest.hexdigest()[:16]


def _plain(item: object, columns: dict[str, Any]) -> dict[str, Any]:
    return {name: getattr(item, name) for name in columns if hasattr(item, name)}


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _read_head(folder: Path) -> tuple[dict[str, Space], dict[str, str]]:
    """The spaces, and the tables' digests (earlier versions wrote none)."""
    try:
        document = json.loads((folder / "bank.json").read_text())
        version, spaces = document["format_version"], document["spaces"]
        digests: dict[str, str] = document.get("digests", {})
    except NotADirectoryError:
        raise BankError(
            f"{str(folder)!r} is no folder, as an exported bank is: of what is elsewhere, say the "
            "format (--format)"
        ) from None
    except FileNotFoundError:
        raise BankError(f"{str(folder)!r} holds no bank: there is no bank.json in it") from None
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise BankError(f"{str(folder / 'bank.json')!r} is damaged: {error}") from error
    if version != FORMAT_VERSION:
        raise BankError(
            f"the bank in {str(folder)!r} has format version {version}, this Bequest reads "
            f"{FORMAT_VERSION}: update Bequest, or export it again"
        )
    return {name: Space.from_json(space) for name, space in spaces.items()}, digests


def _read_table(
    path: Path, columns: dict[str, pa.DataType], digest: str | None
) -> list[dict[str, Any]]:
    try:
        content = path.read_bytes()
        table = pq.read_table(pa.BufferReader(content))
    except FileNotFoundError:
        folder = str(path.parent)
        raise BankError(f"{folder!r} holds no whole bank: {path.name} is missing") from None
    except (pa.ArrowInvalid, OSError) as error:
        reason = reason_of(error)
        raise BankError(f"{str(path)!r} is damaged: {reason}") from error
    if digest not in (None, _digest(content)):
        raise BankError(f"{str(path)!r} was not exported with the others: export the bank again")
    missing = [c for c in columns if c not in table.column_names]
    unknown = [c for c in table.column_names if c not in columns]
    if missing or unknown:
        what = [f"lacks {', '.join(missing)}"] if missing else []
        what += [f"has unknown columns {', '.join(unknown)}"] if unknown else []
        raise BankError(f"{str(path)!r} {' and '.join(what)}: is it of another version?")
    rows: list[dict[str, Any]] = table.cast(pa.schema(list(columns.items()))).to_pylist()
    return rows


def _parts(
    spaces: dict[str, Space], tables: dict[str, list[dict[str, Any]]]
) -> Iterator[tuple[BankTask, Space, list[Record]]]:
    designs = {row["design"]: row for row in tables["designs"]}
    for row in tables["tasks"]:
        task = BankTask(
            row["task"], row["metric"], row["direction"], row["kind"], json.loads(row["facts"])
        )
        by_space: dict[str, list[Record]] = {}
        for record in tables["records"]:
            if record["task"] == task.name:
                design = designs[record["design"]]
                by_space.setdefault(design["space"], []).append(_record(record, design))
        for name, records in by_space.items():
            yield task, spaces[name], records


def _record(row: dict[str, Any], design: dict[str, Any]) -> Record:
    return Record(
        config=json.loads(design["config"]),
        value=row["value"],
        metrics=json.loads(row["metrics"]),
        seed=row["seed"],
        fidelity=row["fidelity"],
        seconds=math.nan if row["seconds"] is None else row["seconds"],
        curve={int(step): value for step, value in json.loads(row["curve"]).items()},
        error=row["error"],
        source=row["source"],
        origin=design["origin"],
    )


# Published tables ---------------------------------------------------------------------------------


def import_nas_bench_graph(bank: Bank, path: str | Path) -> int:
    """Add NAS-Bench-Graph's results (seven data sets); return how many records were new."""
    table = _published(
        path, ("dataset", "metric_name", "val_metric", "test_metric", "link0", "op0")
    )
    space = NasBenchGraphSpace()
    parts = []
    for dataset, rows in table.groupby("dataset", sort=True):
        metric = str(rows["metric_name"].iloc[0])
        records = [
            Record(
                config_of_row(row),
                row.val_metric,
                {f"test_{metric}": row.test_metric, "parameters": row.params * 1e6},
                source="NAS-Bench-Graph",
            )
            for row in rows.itertuples()
        ]
        parts.append((BankTask(f"nas-bench-graph-{dataset}", metric, kind="table"), space, records))
    return bank.append_all(parts)


def import_graphgym(bank: Bank, path: str | Path) -> int:
    """Add GraphGym's grid of 96 designs on 32 tasks; return how many records were new."""
    table = _published(path, ("task_id", "experiment", "metric_name", "val_value", *GRID))
    table = table[(table["experiment"] == EXPERIMENT) & (table["metric_name"] == "accuracy")]
    parts = []
    for task, rows in table.groupby("task_id", sort=True):
        records = [
            Record(
                {name: getattr(row, name) for name in GRID},
                row.val_value,
                {"train_accuracy": row.train_value, "parameters": row.params},
                source="GraphGym",
            )
            for row in rows.astype({"l_pre": int, "l_mp": int, "l_post": int}).itertuples()
        ]
        task_kind = f"{rows['task'].iloc[0]} classification"
        parts.append(
            (BankTask(f"graphgym-{task}", "accuracy", kind=task_kind), graphgym_space(), records)
        )
    return bank.append_all(parts)


def _published(path: str | Path, columns: tuple[str, ...]) -> pd.DataFrame:
    try:
        with Path(path).open("rb") as file:
            table = pd.read_parquet(file)
    except FileNotFoundError:
        raise BankError(
            f"no result table {str(path)!r}: give the path of the Parquet file"
        ) from None
    except IsADirectoryError:
        raise BankError(f"{str(path)!r} is a folder: give the path of the Parquet file") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise BankError(f"{str(path)!r} is damaged: {reason_of(error)}") from error
    missing = [name for name in columns if name not in table]
    if missing:
        raise BankError(f"{str(path)!r} lacks {', '.join(missing)}: is it another table?")
    return table
