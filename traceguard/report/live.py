"""The live page of the server: its views as HTML from plain values, and the files that they load from the same server.

Nothing is inline but the style of single elements: the policy allows scripts, styles and requests to the server itself,
and nothing else. All text goes through jinja2's escaping or that of the drawings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from markupsafe import Markup

from traceguard.report import scripts
from traceguard.report.pages import fragment, whole_style

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self' 'unsafe-inline'; img-src data:; "
    "connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)


@dataclass(frozen=True, slots=True)
class Link:
    """A link of the frame; `current` where it leads to what is shown."""

    label: str
    href: str
    current: bool = False


@dataclass(frozen=True, slots=True)
class Field:
    """A field of the filters: its name, label, value, and the list of names to choose from."""

    name: str
    label: str
    value: str
    names: Sequence[str]


@dataclass(frozen=True, slots=True)
class Frame:
    """What stands around every view: where one is, the stretch of time, the filters, and the names for its forms."""

    path: str
    title: str
    nav: Sequence[Link]
    home: str
    windows: Sequence[Link] = ()
    shown: str = ""  # the stretch of time in words
    fixed: str = ""  # the address that shows the same later
    since: str = ""
    until: str = ""
    last: str = ""
    fields: Sequence[Field] = ()
    hidden: Mapping[str, str] | None = None
    clear: str = ""
    names: Mapping[str, Sequence[str]] | None = None
    renewed: int = 0  # seconds after which an open page asks for the view again; 0 for never


def view(template: str, frame: Frame, **values: object) -> str:
    """A view as a complete page."""
    return fragment(f"live/{template}.html", frame=frame, files=addresses(), **values)


def part(template: str, **values: object) -> str:
    """A piece of a view that comes after it."""
    return fragment(f"live/{template}.html", **values)


@cache
def served() -> Mapping[str, tuple[str, str]]:
    """The files that views load: text and content type by name."""
    folder = files("traceguard.report") / "templates" / "live"
    script, map_script, style = ((folder / f).read_text(encoding="utf-8") for f in ("live.js", "map.js", "live.css"))
    javascript, text = "text/javascript; charset=utf-8", "text/plain; charset=utf-8"
    return {
        "live.js": (script, javascript),
        "charts.js": ("\n;\n".join(scripts.chart_scripts()), javascript),
        "map.js": ("\n;\n".join((*scripts.map_scripts(), map_script)), javascript),
        "layout.js": (scripts.layout_script(), javascript),
        "live.css": (whole_style() + style, "text/css; charset=utf-8"),
        "licences.txt": (scripts.licences() + "\n" + scripts.map_licences(), text),
    }


@cache
def addresses() -> Mapping[str, str]:
    """Their addresses by name, which change with what is in them."""
    return {
        name: f"/static/{name}?{hashlib.sha256(text.encode()).hexdigest()[:12]}" for name, (text, _) in served().items()
    }


def drawn(svg: str) -> Markup:
    """A drawing of ours, which escaped every name itself, for a template."""
    return Markup(svg)  # noqa: S704  (ours)
