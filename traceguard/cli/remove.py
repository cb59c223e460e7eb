"""The commands `forget` and `prune`: what goes from a store, and what became of it."""

import json
import sys
from pathlib import Path

from traceguard.cli import exits, output
from traceguard.cli.answer import local
from traceguard.errors import UsageError
from traceguard.store import remote
from traceguard.units import counted

_COPIES = "Snapshots and backups made before still hold these requests; remove those, too."


def run_forget(unit: str, key: str | None, db: str, *, rehearse: bool, format: str | None, out: Path | None) -> int:
    """Forget a person (`-`: the id is the first line of standard input) and write what went; 5 where nothing did."""
    chosen = output.choose(format, out, ("text", "json"))
    output.check(out)
    from traceguard import pipeline

    store = db if remote.is_url(db) else local(db)
    removed = pipeline.forget(store, sys.stdin.readline().rstrip("\r\n") if unit == "-" else unit, key=key,
                              rehearse=rehearse)  # fmt: skip
    found = bool(removed.requests or removed.logs or removed.verdicts)
    warnings = [{"code": "copies", "message": _COPIES}] if found and not rehearse else []
    document = {"schema_version": 1, "db": db, "dry_run": rehearse, **removed.to_dict(), "warnings": warnings}
    if not found:
        text = "No request carries this id; nothing was removed."
    else:
        verb = "Would forget" if rehearse else "Forgot"
        records = f"{counted(removed.spans, 'span')} and {counted(removed.logs, 'log record')}"
        text = f"{verb} {counted(removed.requests, 'request')}: {records}."
        text += f" {counted(removed.verdicts, 'verdict')} named the id and went, too." if removed.verdicts else ""
    output.deliver(json.dumps(document, indent=2) if chosen == "json" else text, out)
    for warning in warnings:
        exits.say(f"Warning: {warning['message']}")
    return exits.SUCCESS if found else exits.NO_DATA


def run_prune(keep: str | None, max_size: str | None, db: str, *, format: str | None, out: Path | None) -> int:
    """Remove what the options, else the settings, do not keep, and write what went."""
    chosen = output.choose(format, out, ("text", "json"))
    output.check(out)
    from traceguard import pipeline
    from traceguard.settings import load
    from traceguard.store.retention import Rules
    from traceguard.units import format_size

    settings = load()
    rules = Rules.of(keep or settings.keep, max_size or settings.max_size)
    if rules == Rules():
        raise UsageError("Say what to keep: --keep 7d, --max-size 50GB, or both.")
    pruned = pipeline.prune(local(db), rules)
    document = {"schema_version": 1, "db": db, **pruned.to_dict()}
    went = pruned.age + pruned.size
    text = (
        f"Removed {counted(went.requests, 'request')} ({pruned.age.requests:,} by age, {pruned.size.requests:,} by"
        f" size) with {counted(went.spans, 'span')} and {counted(went.logs, 'log record')};"
        f" the store has {format_size(pruned.after)}, before it had {format_size(pruned.before)}."
    )
    output.deliver(json.dumps(document, indent=2) if chosen == "json" else text, out)
    return exits.SUCCESS
