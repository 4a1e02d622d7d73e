"""``bequest select-tasks``: which tasks of a family to train on."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from .output import Json, print_json, print_table


def select_tasks(
    family: Annotated[
        str, typer.Argument(help="rotated-digits, cartpole-mass, pendulum-step, ...")
    ],
    budget: Annotated[int, typer.Option(help="How many sources there are in the end.")] = 15,
    tolerance: Annotated[
        float | None, typer.Option(help="Stop when no source is expected to raise V by so much.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Sources that are trained at a time.")] = 1,
    selector: Annotated[
        str, typer.Option(help="bequest, gp-mbtl, m-mbtl, m/gp-mbtl, greedy or random.")
    ] = "bequest",
    steps: Annotated[
        int | None, typer.Option(help="Environment steps a source (control tasks).")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of selector and trainings.")] = 0,
    name: Annotated[str | None, typer.Option(help="The selection's name.")] = None,
    bank: Annotated[
        str | None, typer.Option(help="Add what was measured to this bank (a SQLAlchemy URL).")
    ] = None,
    mlflow: Annotated[bool, typer.Option(help="Log to MLflow.")] = True,
    as_json: Json = False,
) -> None:
    """Choose training tasks among many related ones; run it again to continue."""
    from ..banks.bank import Bank
    from ..evaluators.task_families import open_family
    from ..search.task_selection.runs import summary
    from ..search.task_selection.selection import TaskSelection

    opened = None if bank is None else Bank(bank)  # refused before anything is trained
    chosen = TaskSelection.of(
        open_family(family, steps=steps),
        name=name,
        selector=selector,
        seed=seed,
        tracking=None if mlflow else False,
    )
    before = len(chosen.sources)
    if before and not as_json:
        typer.echo(f"selection {chosen.name}: continuing, {before} sources are there already")
    try:
        chosen.run(budget, batch=batch, tolerance=tolerance, progress=not as_json)
    except KeyboardInterrupt:
        typer.echo(f"stopped; the same command continues {chosen.name}", err=True)
        raise typer.Exit(130) from None
    paths = [str(path) for path in chosen.plot()]
    if opened is not None:
        chosen.append_to(opened, family)
    result = {**summary(chosen), "pictures": paths, "mlflow": chosen.tracker.link()}
    if as_json:
        print_json(result)
        return
    _print(result, chosen.dimensions)


def _print(result: dict[str, Any], dimensions: tuple[str, ...]) -> None:
    rows = [
        {
            "source": i,
            **{n: round(v, 4) for n, v in zip(dimensions, source["place"], strict=True)},
            "V": source["V"],
            "expected gain": source["expected_gain"],
            "serves": source["serves"],
            "seconds": source["seconds"],
            "error": source["error"],
        }
        for i, source in enumerate(result["sources"], 1)
    ]
    print_table(rows)
    typer.echo(f"V = {result['value']:.4f}: the mean over all contexts of their best source")
    for path in result["pictures"]:
        typer.echo(f"picture {path}")
    if result["mlflow"] is not None:
        typer.echo(f"MLflow {result['mlflow']}   (start it with: bequest ui)")
