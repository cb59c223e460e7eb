"""Blast radius, what-if and rollout plan as forms, with the answer below on the same page."""

import time
from typing import TYPE_CHECKING, Any

from traceguard.errors import UsageError
from traceguard.report import live
from traceguard.report.forms import FORMS
from traceguard.report.wording import between
from traceguard.units import format_time

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceguard.engine.held import HeldWindow
    from traceguard.server.page.visit import Visit

# Of each form beside the filters; `service` and `flag` are filters and what is asked about at once.
PARAMETERS = {
    kind: tuple(f.name for f in form.fields if f.name not in {"service", "flag"}) for kind, form in FORMS.items()
}
_WINDOW = ("last", "since", "until", "env")


def view(visit: "Visit") -> str:
    """The form, filled in as the address says, and the answer where something was asked."""
    kind = visit.request.scope["path"].strip("/")
    form = FORMS[kind]
    given = _given(visit, kind)
    asked = any(given.get(name) for name in form.subject)
    content = answer(visit) if asked and visit.given("wait") else ""
    if visit.spans and not asked:
        visit.windows.renew(visit.filters)  # while the form is filled in
    link, own = visit.filters.link, {k: v for k, v in given.items() if k not in {"service", "flag"}}
    return live.view(
        "ask", visit.frame(f"/{kind}", form.title, narrow=False, keep=PARAMETERS[kind]), form=form,
        given=given, asked=asked, content=live.drawn(content), part=link(f"/part/{kind}", **own),
        wait=link(f"/{kind}", **own, wait=1), kept={k: v for k, v in visit.filters.given.items() if k in _WINDOW},
    )  # fmt: skip


def answer(visit: "Visit") -> str:
    """What was asked, answered by the pipeline, in the words of its page."""
    from traceguard import pipeline
    from traceguard.report import pages

    kind = visit.request.scope["path"].removeprefix("/part").strip("/")
    given: dict[str, Any] = {name: value for name, value in _given(visit, kind).items() if value}
    if not visit.spans:
        raise UsageError("The store holds no span yet; ask again once some have come in.")
    if "slo" in given:
        from traceguard.radius.objective import parse_objective

        # Texts only: a client must not name files of the server.
        given["slo"] = [parse_objective(text.strip()) for text in given["slo"].split(",")]
    if "read_by" in given:
        given["read_by"] = [given["read_by"]]
    asked: dict[str, tuple[Callable[..., Any], Callable[..., str]]] = {
        "blast-radius": (pipeline.blast_radius, pages.radius), "what-if": (pipeline.what_if, pages.forecast),
        "plan": (pipeline.plan, pages.plan),
    }  # fmt: skip
    function, page = asked[kind]

    def ask(asked_of: Any, options: dict[str, Any]) -> Any:
        return function(asked_of, **given, **options, settings=visit.place.settings, progress=visit.question.show)

    found, held = visit.windows.answer(visit.question, visit.filters, ask)
    visit.windows.renew(visit.filters)
    return _rests_on(held) + page(found, layout=pages.WITHIN)


def _rests_on(held: "HeldWindow | None") -> str:
    """Until when the requests of an answer go, where it rests on a window that was read before."""
    bounds = held.window.bounds if held is not None else None
    if held is None or bounds is None:
        return ""
    begin, end = (format_time(ns) or "" for ns in bounds)
    return live.part("rests", over=between(begin, end), minutes=int((time.monotonic() - held.read_at) / 60))


def _given(visit: "Visit", kind: str) -> dict[str, str]:
    return {field.name: visit.given(field.name).strip() for field in FORMS[kind].fields}
