"""Power against time as a drawing without scripts, for notebooks, which run none of ours."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from markupsafe import Markup

from traceguard.report.rollout import hours
from traceguard.report.wording import percent

if TYPE_CHECKING:
    from traceguard.model import Plan

_WIDTH, _HEIGHT = 640.0, 200.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 44.0, 60.0, 10.0, 30.0


def draw(plan: Plan) -> Markup:
    """Lines of power over the hours of each step, on a logarithmic axis; empty where no step has a curve."""
    curves = [(step.exposure, step.curve) for step in plan.steps if step.curve]
    if not curves:
        return Markup("")
    times = [point.hours for _, curve in curves for point in curve]
    low, high = math.log(min(times)), math.log(max(times))

    def x(value: float) -> float:
        return _LEFT + (math.log(value) - low) / max(high - low, 1e-9) * (_WIDTH - _LEFT - _RIGHT)

    def y(power: float) -> float:
        return _HEIGHT - _BOTTOM - power * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y(p):.1f}" y2="{y(p):.1f}" stroke="currentColor"'
        f' opacity="{0.6 if p == plan.power else 0.15}"{dash}/>'
        for p, dash in ((0.0, ""), (0.5, ""), (1.0, ""), (plan.power, ' stroke-dasharray="4 3"'))
    ]
    parts += [
        f'<text x="{_LEFT - 6}" y="{y(p) + 4:.1f}" text-anchor="end">{percent(p)}</text>' for p in (0.0, 0.5, 1.0)
    ]
    marks = [math.exp(low + part * (high - low)) for part in (0.0, 1 / 3, 2 / 3, 1.0)]
    parts += [f'<text x="{x(at):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">{hours(at)}</text>' for at in marks]
    for number, (exposure, curve) in enumerate(curves):
        shade = 0.35 + 0.65 * number / max(len(curves) - 1, 1)
        points = " ".join(f"{x(point.hours):.1f},{y(point.power):.1f}" for point in curve)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="#c2410c" stroke-width="2" opacity="{shade:.2f}"/>'
        )
        middle = min(curve, key=lambda point: abs(point.power - 0.5))
        parts.append(f'<text x="{x(middle.hours) + 5:.1f}" y="{y(middle.power):.1f}">{percent(exposure)}</text>')
    return Markup(  # noqa: S704  (numbers only, no text of spans)
        f'<svg viewBox="0 0 {_WIDTH:g} {_HEIGHT:g}" style="max-width:{_WIDTH:g}px;width:100%" font-size="11"'
        f' fill="currentColor" role="img" aria-label="Power against time by exposure">{"".join(parts)}</svg>'
    )
