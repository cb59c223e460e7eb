"""The command `ingest`: files into a store, and what became of them."""

import json
from pathlib import Path

from traceguard.cli import exits, output, progress
from traceguard.cli.answer import local


def run(paths: list[str], db: str, *, format: str | None, out: Path | None) -> int:
    """Load `paths` into the store `db` and write a summary; bad files are named once the good ones are in."""
    chosen = output.choose(format, out, ("text", "json"))
    output.check(out)
    from traceguard import pipeline

    store = local(db)
    with progress.shown() as show:
        loaded = pipeline.ingest(paths, store, progress=show, warn=exits.say)
    document = {"schema_version": 1, "db": db, **loaded.to_dict()}
    output.deliver(json.dumps(document, indent=2) if chosen == "json" else str(loaded), out)
    return exits.SUCCESS if loaded.files else exits.NO_DATA
