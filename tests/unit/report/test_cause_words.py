"""What a card says besides numbers: what to do next, whom it hits, where to open a trace."""

from types import ModuleType

import pytest

from traceguard.report.advice import next_step
from traceguard.report.cards import cause_cards
from traceguard.report.links import Link, links
from traceguard.report.views import view
from traceguard.settings import Settings


def test_a_flag_is_set_back_and_a_version_rolled_back(documents: ModuleType) -> None:
    """The first step undoes the cause; the second looks at it."""
    assert next_step(documents.cause()).startswith(
        "Set new-pricing back to off. Then look at what ComputeQuote of pricing"
    )
    error = next_step(documents.error_cause(inseparable_from=[]))
    assert error == "Roll payment back to 1.7.2. Then look at Charge of payment: its errors."


def test_what_cannot_be_told_apart_comes_first(documents: ModuleType) -> None:
    """Undoing the wrong one would teach nothing."""
    separation = documents.model.Separation(shared=1.0, requests=1_200, units=300)
    step = next_step(documents.error_cause(separation=separation))
    assert "First tell it from fast-retry=true: run one without the other for about 1,200 requests." in step


def test_a_pair_is_undone_by_its_easiest_part(documents: ModuleType) -> None:
    """A flag is switched more easily than a version is rolled back."""
    step = next_step(documents.cause(factors=[documents.version(), documents.flag()]))
    assert step.startswith("Set new-pricing back to off: it takes all of payment 1.8.0 and new-pricing=on together.")


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"locus": "inbound"}, "network, queues"), ({"metric": "calls"}, "who calls"),
     ({"metric": "error", "timeout_fraction": 0.9}, "most of its errors are timeouts")],
)  # fmt: skip
def test_where_to_look_follows_what_happened(documents: ModuleType, changes: dict[str, object], words: str) -> None:
    """Time on the way, lost calls and timeouts are looked for elsewhere than time of its own."""
    assert words in next_step(documents.cause(**changes))


def test_links_fill_in_what_they_take_and_escape_it() -> None:
    """Any UI: trace, span, and time in milliseconds or seconds; the name that is configured, or the product's."""
    settings = Settings(
        trace_links={
            "jaeger": "https://j.example/trace/{trace_id}?uiFind={span_id}",
            "grafana/tempo": "https://g.example/?t={trace_id}&from={start_ms}&to={end_ms}",
            "honeycomb": "https://h.example/?trace_id={trace_id}&s={start_s}&e={end_s}",
            "ours": "http://o.example/{trace_id}",
        }
    )
    found = links(settings, "a/b", "c d", 1_500, 2_500)
    assert found == [
        Link("Jaeger", "https://j.example/trace/a%2Fb?uiFind=c%20d"),
        Link("Grafana Tempo", "https://g.example/?t=a%2Fb&from=1500&to=2500"),
        Link("Honeycomb", "https://h.example/?trace_id=a%2Fb&s=1&e=3"),
        Link("ours", "http://o.example/a%2Fb"),
    ]
    assert links(Settings(trace_links={"x": "javascript:alert('{trace_id}')"}), "a") == []
    assert links(Settings(), "a") == []


def test_whom_it_hits_names_the_one_cohort(documents: ModuleType) -> None:
    """A cause that is about one tenant says so."""
    effect = documents.cause().effect
    narrowed = documents.model.NarrowedTo(
        key="tenant.id", value="t42", share=0.97, fraction=0.05, inside=effect, outside=effect
    )
    cause = documents.cause(narrowed_to=narrowed)
    report = documents.report(causes=[cause])
    (card,) = cause_cards([cause], report, Settings())
    found = view(cause, card, report, Settings(), found=None, chart=None, graph=None, pictures=None)
    assert found.whom == ("1,512 requests, 12.1% of those at 2 entry points; 97% of the effect is with tenant.id=t42")
    assert "for tenant.id=t42" in found.next_step
