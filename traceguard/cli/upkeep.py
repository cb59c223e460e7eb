"""A store's file, copied and made smaller: `snapshot`, `forget`, `prune`."""

from pathlib import Path
from typing import Annotated

import typer

from traceguard.cli.options import DEFAULT_DB, Db, FileDb, Format, Keep, MaxSize, Output, examples

commands = typer.Typer()


@commands.command(epilog=examples("traceguard snapshot --db shop.duckdb copy.duckdb"))
def snapshot(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="The file to make; it must not exist.")],
    db: Db = DEFAULT_DB,
) -> int:
    """Copy a store consistently, also a server's."""
    from traceguard import pipeline
    from traceguard.cli.answer import opened
    from traceguard.cli.exits import say

    with opened(db) as store:
        pipeline.snapshot(store, out)
    say(f"Wrote {out}")
    return 0


@commands.command(epilog=examples(
    "traceguard forget --unit user-e4ca665b --db shop.duckdb",
    "echo user-3e4143cb | traceguard forget --unit - --db shop.duckdb",
))  # fmt: skip
def forget(
    unit: Annotated[
        str, typer.Option("--unit", metavar="ID", help="The id of whom to forget; - reads it from standard input.")
    ],
    db: Db = DEFAULT_DB,
    key: Annotated[
        str | None, typer.Option("--key", metavar="ATTRIBUTE", help="Only where this attribute holds the id.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would go, and leave it.")] = False,
    format: Format = None,
    output: Output = None,
) -> int:
    """Remove one person's requests from a store.

    All spans, flag evaluations, correlations and logs of every request in which the id stands as a user, session or
    request id or as the context of a flag evaluation, also as it was hashed at the door. The file is written anew: no
    byte of them is left in it. Snapshots and backups still hold them. Exit code 5 where no request carries the id.
    """
    from traceguard.cli.remove import run_forget

    return run_forget(unit, key, db, rehearse=dry_run, format=format, out=output)


@commands.command(epilog=examples(
    "traceguard prune --keep 7d --db shop.duckdb", "traceguard prune --max-size 5GB --db shop.duckdb"
))  # fmt: skip
def prune(
    db: FileDb = DEFAULT_DB, keep: Keep = None, max_size: MaxSize = None, format: Format = None, output: Output = None
) -> int:
    """Remove old requests from a store's file.

    What `serve` does with the same options, once: requests whose latest span is older go whole, then the oldest until
    the file is small enough; the room is given back.
    """
    from traceguard.cli.remove import run_prune

    return run_prune(keep, max_size, db, format=format, out=output)
