"""``bequest cost-table``: what layers cost on the machine at hand."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .output import Json, print_json
from .search import DataRoot, Size


def cost_table(
    task: Annotated[str, typer.Argument(help="Images, as `bequest tasks` lists them.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The JSON file to write.")],
    watts: Annotated[
        float | None,
        typer.Option(min=0, help="What the machine draws; without it no energy is known."),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads of a layer on a CPU.")] = 1,
    size: Size = None,
    data_root: DataRoot = None,
    as_json: Json = False,
) -> None:
    """Time the elastic space's layers here, for `bequest search --space elastic --cost-table`."""
    from ..evaluators import load_task
    from ..evaluators.factory import EvaluatorOptions, make_evaluator
    from ..evaluators.hardware.totals import UNITS
    from ..evaluators.once_for_all.evaluator import ElasticEvaluator
    from ..search.tracking.progress import progress_bar

    options = EvaluatorOptions(size=size)
    evaluator = make_evaluator(load_task(task, data_root), "elastic", options)
    assert isinstance(evaluator, ElasticEvaluator)
    with progress_bar("", enabled=not as_json) as bar:
        timing = bar.add_task(task, total=None, shown="layers")

        def progress(done: int, total: int) -> None:
            bar.update(timing, completed=done, total=total)

        table = evaluator.time_layers(threads=threads, watts=watts, progress=progress)
    table.save(output)
    costs = evaluator.costs_by(table)
    ends = {name: [costs.smallest(name), costs.largest(name)] for name in costs.names}
    if as_json:
        print_json({"table": str(output), "costs": ends})
        return
    for name in ("latency", "energy"):
        if name in ends:
            low, high = ends[name]
            typer.echo(f"networks of the space: {name} {low:.4g} to {high:.4g} {UNITS[name]}")
    typer.echo(f"wrote {output}; search with --space elastic --sampler apq --cost-table {output}")
