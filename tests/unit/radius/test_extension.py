"""A flag extended to more requests, against a fleet in which it really is."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from builders.requests import Span, linked_of

import traceguard
from traceguard.errors import UsageError
from traceguard.radius.extension import FLAGGED, LEVEL, NEITHER, REFERENCE, Extension, Sides, sides_of
from traceguard.radius.scenario import make_scenario
from traceguard.radius.what_if import what_if_flag
from traceguard.simulate import Fleet, Plant, Variant, generate, shop
from traceguard.store import Store, open_store
from traceguard.traces.factors import Factor

METRICS = ("mean", "p50", "p95", "p99")
ON = (("new-pricing", "on"),)
PLANTS = (
    Plant("pricing", "ComputeQuote", flags=ON, self_ms=40.0),
    Plant("payment", "Charge", flags=ON, error_rate=0.2),
)


def fleet(share: float) -> Fleet:
    """Give the shop with new-pricing on for a share of 20,000 users; with it, quotes are slow and charges fail."""
    made = shop(plants=PLANTS, users=20_000)
    variants = (Variant("off", 1.0 - share), Variant("on", share))
    flags = [replace(flag, variants=variants) if flag.key == "new-pricing" else flag for flag in made.flags]
    return replace(made, flags=tuple(flags))


def stored(share: float) -> Store:
    """Give 20,000 requests of that shop."""
    made = generate(fleet(share), requests=20_000, seed=3, start_ns=1_780_000_000 * 10**9, duration_ns=3_600 * 10**9)
    store = open_store(":memory:", mode="write")
    store.append([made.decoded()])
    return store


@pytest.fixture(scope="module")
def tenth() -> Iterable[Store]:
    """Give the shop with the flag at a tenth."""
    with stored(0.1) as store:
        yield store


def test_extension_shows_what_then_happens(tenth: Store) -> None:
    """From a tenth to a half: means within 3%, errors within 2 points, and intervals that hold what then is seen."""
    found = traceguard.what_if(tenth, flag="new-pricing", exposure=0.5).document
    with stored(0.5) as store:
        truth = traceguard.what_if(store, flag="new-pricing=on", exposure=0.5).document
    assert found.scenario.current_exposure == pytest.approx(0.1, abs=0.02)
    assert (found.scenario.level, found.scenario.reference, found.scenario.service) == ("on", "off", None)
    really = {(e.service, e.operation): e for e in truth.entries}
    assert len(really) == len(found.entries)
    inside = []
    for entry in found.entries:
        happened = really[entry.service, entry.operation].before
        assert entry.after_interval is not None
        assert entry.after.mean == pytest.approx(happened.mean, rel=0.03)
        assert entry.after.error_rate == pytest.approx(happened.error_rate, abs=0.02)
        for metric in METRICS:
            assert getattr(entry.after, metric) == pytest.approx(getattr(happened, metric), rel=0.1)
            bounds = getattr(entry.after_interval, metric)
            inside.append(bounds.low <= getattr(happened, metric) <= bounds.high)
    assert np.mean(inside) >= 0.9
    checkout = next(e for e in found.entries if e.operation == "POST /checkout")
    assert checkout.change is not None
    assert checkout.change.mean.low > 10.0
    assert checkout.after.error_rate - checkout.before.error_rate == pytest.approx(0.08, abs=0.03)


def test_its_own_exposure_changes_nothing(tenth: Store) -> None:
    """Extended to what it has already, all stays as it was, but for what slices differ."""
    current = traceguard.what_if(tenth, flag="new-pricing", exposure=0.1).document.scenario.current_exposure
    assert current is not None
    for entry in traceguard.what_if(tenth, flag="new-pricing", exposure=current).document.entries:
        assert entry.after.mean == pytest.approx(entry.before.mean, rel=0.01)


def test_the_largest_exposure_keeps_the_objective_and_more_does_not(tenth: Store) -> None:
    """The prediction at the answer is at most what is allowed; a little above it is more."""
    slo = "POST /checkout: error_rate<6%"
    found = traceguard.what_if(tenth, flag="new-pricing", slo=slo, largest="exposure").document
    assert found.largest is not None
    assert found.largest.value is not None
    assert 0.1 < found.largest.value < 0.6
    assert found.largest.limited_by is not None
    assert found.largest.limited_by.entry.operation == "POST /checkout"
    assert [budget.kept_after for budget in found.budgets] == [True]
    more = traceguard.what_if(tenth, flag="new-pricing", slo=slo, exposure=found.largest.value + 1e-4).document
    assert [budget.kept_after for budget in more.budgets] == [False]


def rows(*given: tuple[int, int, int]) -> Any:
    """Give requests of an entry point: side, when they began, how long they took."""
    made = np.zeros(len(given), dtype=FLAGGED)
    made["side"], made["begun"], made["value"] = (np.array(column) for column in zip(*given, strict=True))
    return made


def test_weights_make_up_for_how_many_there_are() -> None:
    """One of ten under the level counts five times, the nine others five ninths; who ran under neither counts once."""
    case = Extension.of(rows((LEVEL, 0, 100), *[(REFERENCE, 0, 10)] * 9, *[(NEITHER, 0, 1)] * 10))
    assert case.at(0.5).mean(case.rows["value"]) == pytest.approx((5 * 100 + 5 * 10 + 10 * 1) / 20)
    assert case.before.mean(case.rows["value"]) == pytest.approx((100 + 90 + 10) / 20)
    assert case.hit_fraction == 0.5


def test_slices_with_one_side_are_left_out() -> None:
    """Where the level was not there yet nobody knows what it would have done."""
    early = [(REFERENCE, second, 10) for second in range(100)]
    late = [(side, 100 + second, 10) for second in range(100) for side in (LEVEL, REFERENCE)]
    case = Extension.of(rows(*early, *late))
    assert case.left_out > 60
    assert case.rows["begun"].min() >= 60
    assert Extension.of(rows(*[(LEVEL, 1, 1)] * 3)).rows.size == 0
    assert Extension.of(rows(*[(NEITHER, 1, 1)] * 3)).rows.size == 3


def factor(*levels: str, reference: int = 2) -> Factor:
    """Give a flag."""
    return Factor("flag", "f", None, ("", "", *levels), reference)


CODES = np.array([2, 3, 0, 1], dtype=np.int16)
HASHES = np.arange(4, dtype=np.uint64)


def test_the_level_is_the_one_that_is_no_reference() -> None:
    """Of two levels one is the reference; to name it turns the question round."""
    plain = sides_of("f", factor("off", "on"), CODES, HASHES, None)
    assert (plain.level, plain.reference, plain.side.tolist()) == ("on", "off", [REFERENCE, LEVEL, NEITHER, NEITHER])
    turned = sides_of("f", factor("off", "on"), CODES, HASHES, "off")
    assert (turned.level, turned.reference, turned.side.tolist()) == ("off", "on", [LEVEL, REFERENCE, NEITHER, NEITHER])


@pytest.mark.parametrize("variant", [None, "off"])
def test_unclear_extensions_are_refused(variant: str | None) -> None:
    """Of three levels one has to be named, and not the one that the others are held against."""
    with pytest.raises(UsageError, match=r"instead of off\? Name one of f=on, f=beta"):
        sides_of("f", factor("off", "on", "beta"), CODES, HASHES, variant)
    assert sides_of("f", factor("off", "on", "beta"), CODES, HASHES, "beta").reference == "off"


@pytest.mark.parametrize(("levels", "variant"), [(("on",), None), (("on",), "on"), (("off", "on"), "beta"), ((), None)])
def test_levels_that_the_window_lacks_are_no_side(levels: tuple[str, ...], variant: str | None) -> None:
    """The store may know them: no request stands on either side then."""
    found = sides_of("f", factor(*levels) if levels else None, CODES, HASHES, variant)
    assert (found.level, found.reference, found.side.tolist()) == (variant, None, [NEITHER] * 4)


def test_a_flag_without_both_levels_at_once_is_no_data() -> None:
    """An entry point under one level and another under the other compare nothing: no entry, but a warning."""
    linked = linked_of([Span(1, None, "web", 0, 9, "a", trace=1), Span(1, None, "web", 0, 9, "b", trace=2)])
    side = np.array([LEVEL, REFERENCE], dtype=np.uint8)
    sides = Sides("f", "on", "off", linked.trace_hash, side)
    found = what_if_flag(lambda reduce: map(reduce, [linked]), make_scenario(flag="f"), sides)
    assert (found.entries, [w.code for w in found.warnings]) == ([], ["no_requests"])
    assert found.scenario.current_exposure is None


def test_entry_points_without_overlap_are_named() -> None:
    """What is left out is counted, and an entry point of which nothing is left is named."""
    spans = [Span(1, None, "web", 0, 9, "both", trace=t) for t in (1, 2)] + [Span(1, None, "web", 0, 9, "on", trace=3)]
    linked = linked_of(spans)
    sides = Sides("f", "on", "off", linked.trace_hash, np.array([LEVEL, REFERENCE, LEVEL], dtype=np.uint8))
    found = what_if_flag(lambda reduce: map(reduce, [linked]), make_scenario(flag="f"), sides)
    assert [entry.operation for entry in found.entries] == ["both"]
    assert [w.code for w in found.warnings] == ["assumed_exchangeable", "no_overlap", "few_requests"]
    assert "1 request is left out, all of web on among them" in found.warnings[1].message
