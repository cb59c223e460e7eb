"""The one door to all formats: `render(result, format)`. Tables of formats here, one renderer a module beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceguard.errors import UsageError
from traceguard.report.results import Analysis, Difference, Forecast, Radius, Rollout, Slices

if TYPE_CHECKING:
    from collections.abc import Callable

FORMATS: dict[str, tuple[str, ...]] = {
    "report": ("text", "json", "md", "html", "junit"),
    "graph": ("text", "json", "mermaid", "dot", "html"),
    "graph-slices": ("text", "json"),
    "graph-diff": ("text", "json", "mermaid", "dot", "html"),
    "blast-radius": ("text", "json", "md", "html"),
    "what-if": ("text", "json", "md", "html"),
    "plan": ("text", "json", "md", "html"),
    "query": ("text", "json", "csv"),
}
"""Formats by kind of result; `parquet` of a query is bytes and belongs to whoever has the file to write."""

_KINDS = {
    "report": Analysis, "graph-slices": Slices, "graph-diff": Difference, "blast-radius": Radius, "what-if": Forecast,
    "plan": Rollout,
}  # fmt: skip

WITH_MAP = ("html", "md")
"""Formats of a report that draw the service graph; the others need not wait for it."""

WITH_PICTURES = ("html",)
"""Formats of a report that draw call paths and typical traces, for which these are read once more."""

CONTENT_TYPES: dict[str, str] = {
    "text": "text/plain; charset=utf-8", "json": "application/json", "md": "text/markdown; charset=utf-8",
    "html": "text/html; charset=utf-8", "junit": "application/xml", "mermaid": "text/plain; charset=utf-8",
    "dot": "text/vnd.graphviz; charset=utf-8", "csv": "text/csv; charset=utf-8",
}  # fmt: skip
"""What an HTTP answer in a format is called."""


def kind_of(result: object) -> str:
    """The kind of a result, a key of `FORMATS`: by its type, else a networkx graph or a frame (Arrow, polars)."""
    for kind, known in _KINDS.items():
        if isinstance(result, known):
            return kind
    if hasattr(result, "nodes") and hasattr(result, "edges"):
        return "graph"
    if hasattr(result, "columns") and hasattr(result, "schema"):
        return "query"
    raise TypeError(f"traceguard cannot render a {type(result).__name__}; pass what one of its functions returned.")


def render(result: Any, format: str, *, width: int = 80, color: bool = False) -> str:
    """A result as text that ends in a newline. `width` and `color` are those of the terminal and matter to `text` only.

    Raises UsageError for a format that this kind of result has not.
    """
    kind = kind_of(result)
    if format not in FORMATS[kind]:
        raise UsageError(f"{kind} has no format {format!r}; choose one of {', '.join(FORMATS[kind])}.")
    if format == "text":
        from traceguard.report import text

        return text.render(kind, result, width=width, color=color)
    if format == "html":
        from traceguard.report import pages

        return pages.render(kind, result)
    return _plain_renderer(kind, format)(result)


def _plain_renderer(kind: str, form: str) -> Callable[[Any], str]:
    from traceguard.report import diagrams, differences, documents, frames, junit, markdown

    by_kind: dict[str, dict[str, Callable[[Any], str]]] = {
        "report": {"md": markdown.analysis, "junit": junit.render},
        "blast-radius": {"md": markdown.radius},
        "what-if": {"md": markdown.forecast},
        "plan": {"md": markdown.rollout},
        "graph": {"json": documents.graph_json, "mermaid": diagrams.mermaid, "dot": diagrams.dot},
        "graph-slices": {"json": documents.slices_json},
        "graph-diff": {"mermaid": differences.mermaid, "dot": differences.dot},
        "query": {"json": frames.as_json, "csv": frames.as_csv},
    }
    return by_kind[kind].get(form) or (lambda result: documents.as_json(result.document))
