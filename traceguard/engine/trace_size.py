"""Traces too large to analyse: a loop that never ends its trace, or a trace id that everybody shares.

A partition holds whole traces, so one endless trace would take all memory. It is kept out of the window, and said so.
"""

from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from traceguard.engine.local import Window
    from traceguard.model import BlastRadius, Plan, WhatIf

    Document = TypeVar("Document", BlastRadius, WhatIf, Plan)

MAX_TRACE_SPANS = 100_000  # about 15 MB while they are linked; a request of a person has hundreds
_NAMED = 3


def too_large(window: "Window") -> tuple[str, str] | None:
    """The warning's code and sentence about traces that are too large; None where there are none."""
    ids = window.too_large
    if not ids:
        return None
    named = ", ".join(ids[:_NAMED]) + (f" and {len(ids) - _NAMED:,} more" if len(ids) > _NAMED else "")
    verb = "is" if len(ids) == 1 else "are"
    many = f"{len(ids):,} trace{'s' if len(ids) > 1 else ''} of more than {MAX_TRACE_SPANS:,} spans {verb} left out"
    return "trace_too_large", f"{many}: {named}."


def with_too_large(document: "Document", window: "Window") -> "Document":
    """The document with a warning where traces were too large to be looked at."""
    if (found := too_large(window)) is None:
        return document
    from traceguard.model import Warning as Caveat

    code, message = found
    return document.model_copy(update={"warnings": [*document.warnings, Caveat(code=code, message=message)]})
