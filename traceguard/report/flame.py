"""A differential flame graph of the critical path, as SVG: the same call paths without the factors and with them.

Widths are mean milliseconds a request, on one scale for both sides; a path's callees stand below it, its own time is
what they leave free. Colour is the difference of the path's own time: where it grew, where it shrank, by how much
compared with the largest difference. Never more than the few dozen paths that `CallPaths` holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from traceguard.report import svg
from traceguard.report.tables import Table
from traceguard.report.wording import clean, quantity
from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Sequence

    from traceguard.model import CallPaths, PathNode

WIDTH = 520.0
_ROW, _GAP = 21.0, 1.0
_STEPS = (0.6, 0.25, 0.06)  # of the largest difference: strong, middle, weak
_NARROWEST = 0.6
_LABELLED = 34.0
_BOLD = 0.9


@dataclass(frozen=True, slots=True)
class Flame:
    """Both drawings and the numbers behind them; `without` and `with_it` say how long a request took."""

    without: str
    with_it: str
    without_svg: str
    with_svg: str
    table: Table
    note: str


def draw(paths: CallPaths, mark: tuple[str, str] | None = None) -> Flame | None:
    """The flame graph of an entry point's call paths; `mark` is the service and operation to outline.

    None where a side has no request.
    """
    if not paths.paths or not paths.reference or not paths.observed:
        return None
    nodes = paths.paths
    sides = ([n.reference_ms for n in nodes], [n.observed_ms for n in nodes])
    totals = [sum(side) for side in sides]
    scale = WIDTH / max(*totals, 1e-9)
    depth = _depths(nodes)
    tones = _tones(nodes)
    drawn = [
        _side(nodes, own, depth, tones, scale, f"{name}: {quantity(total, 'ms')} a request", mark)
        for own, total, name in zip(sides, totals, ("Without", "With"), strict=True)
    ]
    captions = [
        f"{quantity(total, 'ms')} a request ({counted(n, 'request')})"
        for total, n in zip(totals, (paths.reference, paths.observed), strict=True)
    ]
    whole = quantity(totals[1] - totals[0], "ms", signed=True)
    return Flame(captions[0], captions[1], drawn[0], drawn[1], _table(nodes), f"{whole} in all")


def _side(
    nodes: Sequence[PathNode], own: Sequence[float], depth: Sequence[int], tones: Sequence[str], scale: float,
    label: str, mark: tuple[str, str] | None,
) -> str:  # fmt: skip
    whole = list(own)
    for i in range(len(nodes) - 1, 0, -1):
        if nodes[i].above >= 0:
            whole[nodes[i].above] += whole[i]
    free = [0.0] * len(nodes)  # where the next callee of each path begins
    left = 0.0
    boxes: list[str] = []
    for i, node in enumerate(nodes):
        if node.above < 0:
            x, left = left, left + whole[i] * scale
        else:
            x = free[node.above]
            free[node.above] += whole[i] * scale
        free[i] = x
        if whole[i] * scale >= _NARROWEST:
            boxes.append(_box(node, x, depth[i] * _ROW, whole[i] * scale, tones[i], whole[i], mark))
    height = (max(depth, default=0) + 1) * _ROW
    return f"{svg.opening(label, 'flame', WIDTH, height, 460)}{''.join(boxes)}</svg>"


def _box(
    node: PathNode, x: float, y: float, width: float, tone: str, whole: float, mark: tuple[str, str] | None
) -> str:
    name = _name(node)
    marked = " marked" if mark == (node.service, node.operation) else ""
    change = quantity(node.observed_ms - node.reference_ms, "ms", signed=True)
    title = (
        f"{name}: {quantity(whole, 'ms')} with what it calls; its own {quantity(node.reference_ms, 'ms')} without, "
        f"{quantity(node.observed_ms, 'ms')} with ({change})"
    )
    room = (width - 8) * (_BOLD if marked else 1.0)
    fits = len(name) * svg.CHARACTER <= room
    label = svg.fitted(name if fits else node.operation or name, room) if width >= _LABELLED else ""
    words = f'<text x="{svg.px(x + 4)}" y="{svg.px(y + 14.5)}">{label}</text>' if label else ""
    return (
        f'<g class="{tone}{marked}"><title>{svg.text(title)}</title><rect x="{svg.px(x)}" y="{svg.px(y)}" '
        f'width="{svg.px(max(width - _GAP, _NARROWEST))}" height="{svg.px(_ROW - _GAP)}"/>{words}</g>'
    )


def _name(node: PathNode) -> str:
    if node.smaller:
        return counted(node.smaller, "smaller path")
    return f"{node.service} {node.operation}"


def _depths(nodes: Sequence[PathNode]) -> list[int]:
    depth: list[int] = []
    for node in nodes:
        depth.append(depth[node.above] + 1 if node.above >= 0 else 0)
    return depth


def _tones(nodes: Sequence[PathNode]) -> list[str]:
    """`worse3` to `better3` by each path's own difference, `same` where it is small."""
    deltas = [n.observed_ms - n.reference_ms for n in nodes]
    largest = max(map(abs, deltas), default=0.0) or 1.0
    tones = []
    for delta in deltas:
        step = next((3 - i for i, bound in enumerate(_STEPS) if abs(delta) >= bound * largest), 0)
        tones.append(f"{'worse' if delta > 0 else 'better'}{step}" if step else "same")
    return tones


def _table(nodes: Sequence[PathNode]) -> Table:
    """The paths whose own time differs most, as numbers."""
    ordered = sorted(nodes, key=lambda n: -abs(n.observed_ms - n.reference_ms))[:12]
    rows = tuple(
        (
            clean(_name(n)), quantity(n.reference_ms, "ms"), quantity(n.observed_ms, "ms"),
            quantity(n.observed_ms - n.reference_ms, "ms", signed=True),
        )
        for n in ordered
    )  # fmt: skip
    return Table(("own time of", "without", "with", "change"), rows, frozenset({1, 2, 3}))
