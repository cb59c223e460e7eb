"""What the drawings share: text made safe and short enough for its place, numbers without noise, round ticks."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape, quoteattr

from traceguard.report.wording import clean, shorten

if TYPE_CHECKING:
    from collections.abc import Sequence

CHARACTER = 6.6  # about the width of a character of the drawings' small text, px


def text(content: str) -> str:
    """Text from anywhere as the content of an element."""
    return escape(clean(content))


def attribute(content: str) -> str:
    """Text from anywhere as a quoted attribute value."""
    return quoteattr(clean(content))


def fitted(content: str, width: float) -> str:
    """Text cut in its middle to about `width` pixels, safe as the content of an element; empty where nothing fits."""
    shown, room = clean(content), int(width / CHARACTER)
    if len(shown) > room:
        room -= 1  # the sign for what is left out is as wide as two characters
    return escape(shorten(shown, room)) if room >= 4 else ""


def px(value: float) -> str:
    """A coordinate to a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def opening(label: str, kind: str, width: float, height: float, least: float | None = None) -> str:
    """The start of a drawing that says what it shows; below `least` pixels wide it scrolls instead of shrinking."""
    style = f' style="min-width:{least:.0f}px"' if least else ""
    return (
        f'<svg class="drawing {kind}" role="img" aria-label={attribute(label)} '
        f'viewBox="0 0 {px(width)} {px(height)}"{style}>'
    )


def ticks(low: float, high: float, most: int = 5) -> Sequence[float]:
    """Round numbers from `low` to `high`, at most `most` of them where there is room for two."""
    if not high > low:
        return [low]
    rough = (high - low) / max(most - 1, 1)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(s * power for s in (1.0, 2.0, 2.5, 5.0, 10.0) if s * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [n * step for n in range(first, last + 1)]
