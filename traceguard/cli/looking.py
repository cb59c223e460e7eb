"""A store to look into by hand: `query`, `notebook`."""

from pathlib import Path
from typing import Annotated

import typer

from traceguard.cli.options import DEFAULT_DB, Db, Environment, Format, Output, Since, Until, examples

commands = typer.Typer()


@commands.command(epilog=examples(
    "traceguard query",
    "traceguard query slowest_operations --db shop.duckdb --param service=pricing",
    "traceguard query flag_evaluations --db shop.duckdb -o evaluations.parquet",
))  # fmt: skip
def query(
    name: Annotated[
        str | None, typer.Argument(metavar="[NAME]", help="The query to run; without it, all are listed.")
    ] = None,
    db: Db = DEFAULT_DB,
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=VALUE", help="A parameter of the query; may be repeated."),
    ] = None,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """List or run a query.

    Formats: text, json, csv, parquet (with -o).
    """
    from traceguard.cli.ask import listing, run

    if name is None:
        return listing(format=format, out=output)
    given = {"since": since, "until": until, "environment": environment}
    return run(name, db, param or [], given, format=format, out=output)


@commands.command(epilog=examples(
    "traceguard notebook --db shop.duckdb", "traceguard notebook --db shop.duckdb --folder look --no-start"
))  # fmt: skip
def notebook(
    db: Db = DEFAULT_DB,
    folder: Annotated[Path, typer.Option("--folder", metavar="DIR", help="Where the notebooks are laid.")] = Path(
        "traceguard-notebooks"
    ),
    existing: Annotated[
        str | None,
        typer.Option("--existing", metavar="keep|replace", help="What becomes of notebooks that lie there already."),
    ] = None,
    no_start: Annotated[bool, typer.Option("--no-start", help="Only lay them there.")] = False,
) -> int:
    """Open the notebooks that ship against a store.

    Copies them into a folder and starts Jupyter there, which the extra `notebook` installs. Of
    a running server a snapshot is taken into the folder first.
    """
    from traceguard.cli.notebooks import run

    return run(db, folder, existing, start=not no_start)
