"""The command `query`: the list of queries, or the rows of one."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from traceguard.cli import exits, output
from traceguard.cli.answer import opened, rendered
from traceguard.errors import UsageError
from traceguard.store import queries

# Parquet is bytes, so it is written here and not by a renderer.
# Rows that a program reads stay on one line each.
_PIPED = 10_000

FORMATS = ("text", "json", "csv", "parquet")


def listing(*, format: str | None, out: Path | None) -> int:
    """Write the list of queries: name, description and parameters of each."""
    chosen = output.choose(format, out, ("text", "json"))
    known = [queries.describe(name) for name in queries.names()]
    if chosen == "json":
        rows = [
            {
                "name": query.name,
                "description": query.description,
                "parameters": [
                    {"name": p.name, "type": p.type, "optional": p.optional, "about": p.about} for p in query.parameters
                ],
            }
            for query in known
        ]
        output.deliver(json.dumps({"schema_version": 1, "queries": rows}, indent=2), out)
        return exits.SUCCESS
    lines = []
    for query in known:
        takes = " ".join(f"[{p.name}]" if p.optional else p.name for p in query.parameters)
        lines += [f"{query.name}  {takes}".rstrip(), f"    {query.description}"]
    output.deliver("\n".join(lines), out)
    return exits.SUCCESS


def run(
    name: str, db: str, params: list[str], window: dict[str, str | None], *, format: str | None, out: Path | None
) -> int:
    """Run the query `name` and write its rows; `window` holds the period and the environment, where they were given."""
    chosen = output.choose(format, out, FORMATS)
    if chosen == "parquet" and out is None:
        raise UsageError("Parquet is not text; name a file for it with -o FILE.")
    output.check(out)
    given = _parameters(params) | {key: value for key, value in window.items() if value is not None}
    with opened(db) as store:
        from traceguard import pipeline

        frame = pipeline.query(store, name, **given)
        empty = _without_spans(store, name, frame, given)
    output.deliver(_parquet(frame) if chosen == "parquet" else rendered(frame, chosen, out, piped_width=_PIPED), out)
    return exits.NO_DATA if empty else exits.SUCCESS


def _without_spans(store: Any, name: str, frame: Any, given: dict[str, str]) -> bool:
    """Whether the rows are empty because there is no span at all in the store, the period or the environment."""
    if name != "totals":
        if not frame.is_empty():
            return False
        from traceguard import pipeline

        window = {key: given[key] for key in ("since", "until", "environment") if key in given}
        frame = pipeline.query(store, "totals", **window)
    return not frame["spans"][0]


def _parameters(params: list[str]) -> dict[str, str]:
    pairs = [param.partition("=") for param in params]
    bad = next((param for param, (key, equals, _) in zip(params, pairs, strict=True) if not key or not equals), None)
    if bad is not None:
        raise UsageError(f"--param {bad!r} is not KEY=VALUE; write it like --param service=pricing.")
    return {key: value for key, _, value in pairs}


def _parquet(frame: Any) -> bytes:
    buffer = BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()
