"""From a question to its answer: ask the pipeline, render, write, and tell how it ended."""

import os
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from traceguard.cli import exits, output, progress
from traceguard.errors import UsageError
from traceguard.store import remote

_HOST_PORT = re.compile(r"[\w.-]+:\d{1,5}")

_FAILING = {"regression": exits.REGRESSION, "inconclusive": exits.INCONCLUSIVE}


def answer(
    kind: str,
    ask: Callable[..., Any],
    db: str,
    question: dict[str, Any],
    *,
    format: str | None,
    out: Path | None,
    strict: bool = False,
) -> int:
    """Answer a question about the store `db`, write the result, and return the command's exit code.

    `kind` names the result (a key of `report.FORMATS`), `ask` is the pipeline's function for it; options that were not
    given are left to its defaults. With `strict`, a regression and an inconclusive verdict have codes of their own.
    """
    from traceguard.report import FORMATS, WITH_MAP, WITH_PICTURES

    chosen = output.choose(format, out, FORMATS[kind])
    output.check(out)
    given = {name: value for name, value in question.items() if value is not None}
    if kind == "report":
        given |= {"draw_map": chosen in WITH_MAP, "draw_pictures": chosen in WITH_PICTURES}
    with progress.shown() as show, opened(db) as store:
        result = ask(store, **given, progress=show)
    output.deliver(rendered(result, chosen, out), out)
    said = verdict(result)
    if kind == "report" and said == "regression" and _accepted(result):
        said = None
    return code(said, strict=strict)


def opened(db: str) -> Any:
    """The store behind `--db`, a file or a running server, open to read."""
    from traceguard import pipeline

    return pipeline.open(db if remote.is_url(db) else local(db))


def local(db: str) -> str:
    """The path of a store's file; UsageError for what is not one (yet)."""
    if remote.is_url(db):
        raise UsageError(f"{db} is a running server, which owns its store; name a store's file here.")
    if "://" in db or Path(db).is_dir():
        raise UsageError(
            f"{db} is a folder or a lake, which traceguard does not read yet; name a store's file or a server's URL."
        )
    if _HOST_PORT.fullmatch(db) and not Path(db).exists():
        raise UsageError(f"{db} looks like a server's address; write it as a URL, http://{db}.")
    return db


def rendered(result: Any, format: str, out: Path | None, *, piped_width: int = 80) -> str:
    """A result as text: in colour and as wide as the terminal where a person reads it, else `piped_width` columns."""
    from traceguard.report import render

    terminal = out in {None, Path("-")} and sys.stdout.isatty()
    return render(
        result,
        format,
        width=shutil.get_terminal_size().columns if terminal else piped_width,
        color=terminal and "NO_COLOR" not in os.environ,
    )


def verdict(result: Any) -> str | None:
    """What decides the exit code: the report's verdict, `no_data` where no request stands behind it, else None."""
    from traceguard.model import GraphDiff

    document = getattr(result, "document", None)
    if document is None:
        # A graph: an empty one has seen no span at all.
        return None if len(result) else "no_data"
    if isinstance(document, GraphDiff):
        return None if document.baseline.requests and document.candidate.requests else "no_data"
    found = getattr(document, "verdict", None)
    if found is not None:
        return str(found)
    return None if document.entries else "no_data"


def _accepted(result: Any) -> bool:
    """Whether all that makes the verdict a regression is accepted by the team for now."""
    from traceguard.explain import failing

    return not failing(result.document)


def code(verdict: str | None, *, strict: bool) -> int:
    """The exit code for a verdict; with `strict`, a regression and an inconclusive one have their own."""
    if verdict == "no_data":
        return exits.NO_DATA
    return _FAILING.get(verdict or "", exits.SUCCESS) if strict else exits.SUCCESS
