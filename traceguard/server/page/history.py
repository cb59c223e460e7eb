"""The verdicts that this server gave since it started."""

from typing import TYPE_CHECKING

from traceguard.report import live
from traceguard.report.wording import VERDICTS
from traceguard.server.page.visit import bare

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit


def view(visit: "Visit") -> str:
    """The list, newest first."""
    rows = [
        (
            each.at.replace("T", " ").partition(".")[0].removesuffix("Z"), each.verdict, VERDICTS[each.verdict],
            each.sentence, each.cause, each.over, each.asked_by, each.address,
        )
        for each in visit.place.history
    ]  # fmt: skip
    return live.view("history", bare("/history", "Verdict history", visit.filters), rows=rows)
