"""Two requests side by side, or the requests under two variants of a flag or two versions of a service, as recorded."""

from typing import TYPE_CHECKING, Any

from traceguard.errors import UnknownNameError
from traceguard.report import groups, live, requests, waterfall

if TYPE_CHECKING:
    from traceguard.model import TypicalTrace
    from traceguard.server.page.visit import Visit

PARAMETERS = ("a", "b", "from", "to")
_SAMPLED = 1_500


def view(visit: "Visit") -> str:
    """The forms, and below them what was asked."""
    a, b = visit.given("a").strip().lower(), visit.given("b").strip().lower()
    shown: dict[str, Any] = {"pair": None, "groups": None}
    flag, variant = visit.filters.flag_and_variant
    if a and b:
        shown["pair"] = _pair(visit, a, b)
    elif (flag or visit.filters.service) and visit.spans and not a:
        shown["groups"] = _groups(visit, visit.given("to") or variant or "")
    return live.view(
        "compare", visit.frame("/compare", "Compare", keep=PARAMETERS), a=a, b=b, given=visit.filters.given,
        reference=visit.given("from"), affected=visit.given("to"), causes=visit.filters.link("/causes"), **shown,
    )  # fmt: skip


def _pair(visit: "Visit", a: str, b: str) -> dict[str, Any]:
    first, second = _request(visit, a), _request(visit, b)
    longest = max(first.duration_ms, second.duration_ms)
    return {
        "sides": [
            (
                letter,
                trace_id,
                visit.filters.link(f"/requests/{trace_id}"),
                requests.Request.of(each, longest, waterfall.WIDTH),
            )
            for letter, trace_id, each in (("A", a, first), ("B", b, second))
        ],
        "table": requests.differences(first, second),
    }


def _request(visit: "Visit", trace_id: str) -> "TypicalTrace":
    from traceguard.explain.looked_at import requests_of

    found = requests_of(visit.cursor, trace_id)
    if not found:
        raise UnknownNameError(f"The store holds no trace {trace_id!r}; take an id from the list of requests.")
    return found[0]


def _groups(visit: "Visit", to: str) -> groups.Groups | None:
    from traceguard.explain.looked_at import compare_groups
    from traceguard.model import Entry

    found = visit.rows("groups", sampled=_SAMPLED)
    noun = "variant" if visit.filters.flag else "version"
    known = sorted({row["variant"] for row in found})
    for level in filter(None, (visit.given("from"), visit.given("to"))):
        if level not in known:
            raise UnknownNameError.of(
                f"{noun} of {visit.filters.flag_and_variant[0] or visit.filters.service}", level, known
            )
    pair = groups.choose(found, visit.given("from"), to)
    if pair is None:
        return groups.Groups(found, None, None, None, noun)
    reference, affected = pair
    entry = Entry(service=reference["service"], operation=reference["operation"])
    paths = compare_groups(visit.cursor, entry, reference["trace_ids"], affected["trace_ids"])
    return groups.Groups(found, reference, affected, paths, noun)
