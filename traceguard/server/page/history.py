"""The verdicts that this server gave since it started."""

from typing import TYPE_CHECKING

from traceguard.report import live
from traceguard.report.wording import VERDICTS, clean, headline, period_text, place
from traceguard.server.page.visit import bare

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit


def view(visit: "Visit") -> str:
    """The list, newest first."""
    rows = [
        (
            each.at.replace("T", " ").partition(".")[0].removesuffix("Z"), each.report.verdict,
            VERDICTS[each.report.verdict], headline(each.report),
            clean(place(each.report.causes[0])) if each.report.causes else "", period_text(each.report.window),
            each.asked_by, each.address,
        )
        for each in visit.place.history
    ]  # fmt: skip
    return live.view("history", bare("/history", "Verdict history", visit.filters), rows=rows)
