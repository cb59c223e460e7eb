"""The words and numbers of reports."""

import math
from types import ModuleType

import pytest

from traceguard import model
from traceguard.report import wording


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (84.2, "ms", "+84.2 ms"), (-0.6, "ms", "\N{MINUS SIGN}600 µs"), (1234.0, "ms", "+1.23 s"),
        (999.6, "ms", "+1 s"),
        (0.034, "fraction", "+3.4 pp"), (-0.0004, "fraction", "\N{MINUS SIGN}0.04 pp"), (0.0, "ms", "0 ms"),
        (1.0, "calls", "+1 call"),
        (2.5, "calls", "+2.5 calls"), (math.nan, "ms", "unknown"),
    ],
)  # fmt: skip
def test_quantities_read_with_sign_digits_and_unit(value: float, unit: str, text: str) -> None:
    """A change has a sign, three digits at most, and the unit that fits its size."""
    assert wording.quantity(value, unit, signed=True) == text


@pytest.mark.parametrize(
    ("fraction", "text"),
    [(0.0, "0%"), (1.0, "100%"), (0.121, "12.1%"), (0.5, "50%"), (0.00071, "0.07%"), (math.nan, "unknown")],
)
def test_percentages_keep_sensible_digits(fraction: float, text: str) -> None:
    """Small shares keep two decimals, large ones one, round ones none."""
    assert wording.percent(fraction) == text


def test_an_interval_names_a_shared_unit_once() -> None:
    """Both ends carry their unit only where the units differ."""
    assert wording.interval(78.0, 90.4, "ms") == "+78 to +90.4 ms"
    assert wording.interval(-0.5, 2.0, "ms") == "\N{MINUS SIGN}500 µs to +2 ms"


def test_an_end_of_an_interval_that_a_test_ruled_out_is_not_in_it(documents: ModuleType) -> None:
    """Zero as an end of a quantile's interval says which side of zero it lies on; of a mean it is a number."""
    found = documents.report().regressions[0]
    quantile, minus = found.model_copy(update={"metric": "latency_p99", "low": 0.0, "high": 131.0}), "−"
    assert wording.metric_interval(quantile) == ">0 to +131 ms"
    assert wording.metric_interval(quantile.model_copy(update={"low": -131.0, "high": 0.0})) == f"{minus}131 to <0 ms"
    assert wording.metric_interval(quantile.model_copy(update={"metric": "latency_mean"})) == "0 to +131 ms"


def test_probabilities_below_one_in_ten_thousand_are_a_bound() -> None:
    """The exact size of a tiny p says nothing more."""
    assert wording.probability(4e-10) == "<0.0001"
    assert wording.probability(0.0008) == "0.0008"
    assert wording.probability(0.21) == "0.21"


def test_clean_disarms_characters_that_act() -> None:
    """Escape sequences, line breaks and direction overrides become visible, other scripts stay."""
    assert wording.clean("a\x1b[31mb\ncd\u202ee") == "a\ufffd[31mb\ufffdcd\ufffde"
    assert wording.clean("оплата 結帳 é") == "оплата 結帳 é"


@pytest.mark.parametrize("width", [5, 6, 19])
def test_shortened_names_keep_both_ends_and_the_width(width: int) -> None:
    """A long name loses its middle."""
    short = wording.shorten("a-very-long-operation-name", width)
    assert len(short) == width
    assert short[0] == "a"
    assert short[-1] == "e"
    assert "…" in short


def test_the_headline_names_entry_change_factor_and_cause(documents: ModuleType) -> None:
    """The verdict sentence of a regression says what, how much, under what, and why."""
    assert wording.headline(documents.report()) == (
        "POST /checkout of frontend got 92.3 ms slower (mean 96.4 ms to 189 ms) under new-pricing=on; "
        "pricing ComputeQuote (its own time) explains 91% of it. 1 more entry point got worse too."
    )


def test_the_headline_follows_an_error_cause(documents: ModuleType) -> None:
    """Where the first cause is about failures, so is the sentence."""
    report = documents.report(causes=[documents.error_cause()])
    assert wording.headline(report).startswith(
        "POST /checkout of frontend fails more often (0.6% to 4.5%) under payment 1.8.0;"
    )


def test_the_headline_admits_that_nothing_explains(documents: ModuleType) -> None:
    """A regression without a cause is still a sentence."""
    assert "no single service explains it" in wording.headline(documents.report(causes=[]))


@pytest.mark.parametrize(
    ("verdict", "words"),
    [
        ("no_regression", "Nothing got slower"),
        ("inconclusive", "cannot settle"),
        ("no_data", "no usable request"),
        ("regression", "Something got worse"),
    ],
)
def test_every_verdict_has_a_sentence(documents: ModuleType, verdict: str, words: str) -> None:
    """Verdicts without regressions in the document read well, too."""
    assert words in wording.headline(documents.quiet_report(verdict))


def test_factors_read_by_their_kind(documents: ModuleType) -> None:
    """A flag shows its level, a version its service, a period its side; several are joined."""
    factors = [documents.flag(), documents.version(), documents.period()]
    assert wording.factors_name(factors) == "new-pricing=on and payment 1.8.0 and candidate period"
    assert wording.reference_name(factors) == "off and 1.7.2 and baseline period"


def test_times_name_a_shared_day_once() -> None:
    """A window within a day says the day once."""
    assert wording.between("2026-11-23T12:00:00.5Z", "2026-11-23T13:00:00Z") == "2026-11-23 12:00:00 to 13:00:00 UTC"
    assert (
        wording.between("2026-11-23T12:00:00Z", "2026-11-24T01:00:00Z")
        == "2026-11-23 12:00:00 to 2026-11-24 01:00:00 UTC"
    )


def test_a_change_of_mix_is_told_from_a_change() -> None:
    """Both parts of the mean's change stand beside it, signed."""
    mix = model.Mix(reference_ms=50.0, observed_ms=61.0, delta_ms=11.0, mix_ms=12.0, within_ms=-1.0, entries=[])
    minus = "\N{MINUS SIGN}"
    assert wording.mix_text(mix) == (
        f"All requests, on average: 50 ms to 61 ms; +12 ms by another mix of entry points, {minus}1 ms within them."
    )
