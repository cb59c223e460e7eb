"""The scripts a page carries and the policy that allows exactly those: nothing is fetched, nothing evaluated.

Every inline script is named in the page's Content-Security-Policy by its SHA-256, so a script that someone smuggles in
with a span's name would not run even if the escaping failed. Vega runs its expressions through its interpreter:
`unsafe-eval` is never needed.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

_CHART_SCRIPTS = ("vega.min.js", "vega-lite.min.js", "vega-embed.min.js")
_MAP_SCRIPTS = ("cytoscape.min.js", "elk-api.js")
_START = """\
const drawn = new Set();
function draw(place) {
  if (drawn.has(place)) return;
  drawn.add(place);
  const spec = JSON.parse(document.getElementById(place.dataset.chart).textContent);
  const tooltip = {disableDefaultStyle: true, id: "chart-tooltip"};
  vegaEmbed(place, spec, {ast: true, renderer: "svg", actions: false, defaultStyle: false, tooltip})
    .then(() => place.classList.add("drawn"))
    .catch((error) => { place.textContent = "This chart could not be drawn: " + error.message; });
}
// One after the other, so that a page with many can be read and used meanwhile.
function drawAll(within, turn = (place) => setTimeout(draw, 0, place)) {
  for (const place of within.querySelectorAll("[data-chart]")) {
    if (!place.closest("details:not([open])")) turn(place);
  }
}
drawAll(document);
document.addEventListener("toggle", (event) => { if (event.target.open) drawAll(event.target); }, true);
window.addEventListener("beforeprint", () => drawAll(document, draw));
"""
_UNFOLD = """\
function unfold() {
  let id = location.hash.slice(1);
  try { id = decodeURIComponent(id); } catch (error) { return; }
  const target = id && document.getElementById(id);
  if (target && target.matches("details")) target.open = true;
}
window.addEventListener("hashchange", unfold);
unfold();
window.addEventListener("beforeprint", () => {
  for (const folded of document.querySelectorAll("details.cause-card:not([open])")) folded.open = true;
});
"""
_POLICY = re.compile(r'<meta http-equiv="Content-Security-Policy" content="([^"]*)">')


@cache
def chart_scripts() -> tuple[str, ...]:
    """The texts of the scripts that draw charts, in the order they must run."""
    return (*map(_vendored, _CHART_SCRIPTS), _START)


def map_scripts() -> tuple[str, ...]:
    """The texts of the scripts that the live map needs, in the order they must run."""
    return tuple(map(_vendored, _MAP_SCRIPTS))


def layout_script() -> str:
    """The text of the script that lays the live map out, as a worker."""
    return _vendored("elk-worker.min.js")


def page_scripts(*, charts: bool) -> tuple[str, ...]:
    """The scripts of a page with folded causes, those for charts only where it has some."""
    return (_UNFOLD, *(chart_scripts() if charts else ()))


@cache
def licences() -> str:
    """The licences of the scripts that draw charts; a page that carries the scripts carries these."""
    return _vendored("LICENSES.txt")


def map_licences() -> str:
    """The licences of the scripts that draw the live map."""
    return _vendored("LICENSES-map.txt")


def policy(scripts: Sequence[str] = ()) -> str:
    """A Content-Security-Policy that allows these inline scripts, inline styles, and nothing from anywhere."""
    digests = [base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in scripts]
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data:; "
        f"base-uri 'none'; form-action 'none'"
    )


def content_security_policy(page: str) -> str:
    """The policy that a page of ours states in its head, for a server to send as a header too.

    Raises ValueError for a page that states none: it is not one of ours.
    """
    found = _POLICY.search(page)
    if found is None:
        raise ValueError("The page states no Content-Security-Policy.")
    return found[1].replace("&#39;", "'")


def _vendored(name: str) -> str:
    return (files("traceguard.report") / "vendor" / name).read_text(encoding="utf-8")
