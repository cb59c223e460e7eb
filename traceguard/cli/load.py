"""The command `ingest`: files into a store, and what became of them."""

import json
from pathlib import Path

from traceguard.cli import exits, output, progress
from traceguard.cli.answer import local
from traceguard.errors import UsageError
from traceguard.store import remote


def run(paths: list[str], db: str, *, format: str | None, out: Path | None) -> int:
    """Load `paths` into the store `db` and write a summary; bad files are named once the good ones are in."""
    chosen = output.choose(format, out, ("text", "json"))
    output.check(out)
    if remote.is_url(db):
        raise UsageError(f"{db} is a server; send OTLP to its port, or name a store's file to load files into.")
    from traceguard import pipeline

    with progress.shown() as show:
        loaded = pipeline.ingest(paths, local(db), progress=show, warn=exits.say)
    output.deliver(
        json.dumps({"schema_version": 1, "db": db, **loaded.to_dict()}, indent=2) if chosen == "json" else str(loaded),
        out,
    )
    return exits.SUCCESS
