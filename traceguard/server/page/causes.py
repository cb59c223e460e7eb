"""What the latest report blames: the list of causes, and one of them with all its pictures."""

from typing import TYPE_CHECKING

from traceguard.errors import UsageError
from traceguard.report import live
from traceguard.report import overview as drawing

if TYPE_CHECKING:
    from traceguard.server.page.visit import Visit


def view(visit: "Visit") -> str:
    """The view with the list of causes."""
    return live.view(
        "later", visit.frame("/causes", "Causes"), content=listed(visit) if visit.judged else "",
        part=visit.filters.link("/part/causes"), wait=visit.filters.link("/causes", wait=1),
        lead="What explains a regression, ranked by what is surely lost.", doing="Comparing requests",
    )  # fmt: skip


def listed(visit: "Visit") -> str:
    """The list of causes."""
    from traceguard.report.cards import cause_cards
    from traceguard.report.wording import confidence

    judged = visit.judged
    report = judged.analysis.document if judged and judged.analysis else None
    return live.part(
        "causes", judged=drawing.judged(judged.analysis, judged.note, judged.at) if judged else None, report=report,
        cards=cause_cards(report.causes, report, visit.place.settings) if report else [],
        level=confidence(report.alpha) if report else "", link=visit.filters.link,
        whole=lambda form: visit.filters.report(visit.stretch, form),
    )  # fmt: skip


def one(visit: "Visit") -> str:
    """The view of one cause."""
    rank = visit.request.path_params["rank"]
    path = f"/causes/{rank}"
    return live.view(
        "later", visit.frame("/causes", f"Cause {rank}"), content=drawn(visit) if visit.judged else "",
        part=visit.filters.link(f"/part{path}"), wait=visit.filters.link(path, wait=1), lead="",
        doing="Comparing requests",
    )  # fmt: skip


def drawn(visit: "Visit") -> str:
    """One cause with its pictures."""
    from traceguard.report.report_page import one_cause

    rank, judged = visit.request.path_params["rank"], visit.judged
    analysis = judged.analysis if judged else None
    if analysis is None or not 1 <= rank <= len(analysis.document.causes):
        known = len(analysis.document.causes) if analysis else 0
        raise UsageError(f"The latest report has no cause {rank}; it has {known}. See all causes for those it has.")
    cause = analysis.document.causes[rank - 1]
    return live.part(
        "cause", **one_cause(analysis, rank - 1), cause=cause, link=visit.filters.link, at=judged.at if judged else ""
    )
