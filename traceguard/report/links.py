"""Links to the team's trace UIs: nowhere unless a template is configured, and to web addresses only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import quote

if TYPE_CHECKING:
    from traceguard.settings import Settings

_KNOWN = {
    "jaeger": "Jaeger", "tempo": "Tempo", "grafana": "Grafana", "grafana/tempo": "Grafana Tempo",
    "honeycomb": "Honeycomb",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Link:
    """Where one trace UI shows a trace, and what the link is called."""

    label: str
    url: str


def links(
    settings: Settings,
    trace_id: str,
    span_id: str | None = None,
    start_ms: int | None = None,
    end_ms: int | None = None,
) -> list[Link]:
    """The links of a trace, in the order in which they are configured. What is not known is left empty in them."""
    templates = [("Open the trace", settings.trace_url)] if settings.trace_url else []
    named = [
        *templates,
        *((_KNOWN.get(name.lower(), name), template) for name, template in settings.trace_links.items()),
    ]
    values = {
        "trace_id": trace_id, "span_id": span_id or "", "start_ms": _number(start_ms), "end_ms": _number(end_ms),
        "start_s": _number(start_ms, 1000), "end_s": _number(end_ms, 1000, up=True),
    }  # fmt: skip
    found = []
    for label, template in named:
        address = web_address(template)
        if address is None:
            continue
        for name, value in values.items():
            address = address.replace(f"{{{name}}}", quote(value, safe=""))
        found.append(Link(label, address))
    return found


def web_address(text: str | None) -> str | None:
    """A configured address if it leads to the web; any other scheme would run in the page."""
    return text if text is not None and text.startswith(("http://", "https://")) else None


def _number(value: int | None, by: int = 1, *, up: bool = False) -> str:
    if value is None:
        return ""
    return str(-(-value // by) if up else value // by)
