"""Guards warn of comparisons that mislead, and hardly ever of healthy ones."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest
from builders.scenes import recorded, reported

from traceguard.explain.guards import ALPHA, LEAST_CHANGE, After, evaluated_after, uneven, unexpected, units_of
from traceguard.settings import Settings
from traceguard.simulate import Recording, shop
from traceguard.stats.multiplicity import holm
from traceguard.traces.factors import ABSENT, FIRST_LEVEL, Factor

OFF, ON = FIRST_LEVEL, FIRST_LEVEL + 1
REQUESTS, USERS, FLAGS = 4_000, 500, 5
ENTRIES = ("home", "product", "cart", "checkout")


class Traffic:
    """Requests of users who differ in how much they do and in where they go, under flags that are theirs for good."""

    def __init__(self, seed: int, *, ramp: float = 0.0) -> None:
        self.rng = rng = np.random.default_rng(seed)
        activity = np.arange(1, USERS + 1) ** -0.8
        self.user = rng.choice(USERS, REQUESTS, p=activity / activity.sum())
        self.start = np.sort(rng.integers(0, 1_800_000_000_000, REQUESTS))
        taste = rng.dirichlet((1.0, 1.0, 0.6, 0.4), USERS)
        self.entry = (rng.random(REQUESTS)[:, None] > taste[self.user].cumsum(1)[:, :-1]).sum(1)
        self.factors = tuple(Factor("flag", f"flag-{f}", None, ("", "", "off", "on"), OFF) for f in range(FLAGS))
        share = 0.5 + ramp * (self.start / self.start.max() - 0.5)
        draw = rng.random((USERS, FLAGS))[self.user]
        self.levels = np.where(draw < share[:, None], ON, OFF).astype(np.int16)

    @property
    def unit(self) -> np.ndarray:
        """A hash of the user."""
        return (self.user.astype(np.uint64) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)

    def uneven(self) -> list[str]:
        """What is said of sample ratios."""
        entries = [(name, self.entry == e) for e, name in enumerate(ENTRIES)]
        found = [
            test
            for f, factor in enumerate(self.factors)
            for test in uneven(self.unit, self.start, self.levels[:, f], factor, entries)
        ]
        p = holm(np.array([p for p, _ in found]))
        return [sentence for (_, sentence), at in zip(found, p, strict=True) if sentence and at <= ALPHA]

    def after(self) -> list[After]:
        """Evaluations that depend on another flag."""
        tests = evaluated_after(self.factors, self.levels, self.unit, self.start, np.ones(REQUESTS))
        p = holm(np.array([test.p_value for test in tests]))
        return [
            test for test, at in zip(tests, p, strict=True)
            if at <= ALPHA and abs(test.evaluated - test.otherwise) >= LEAST_CHANGE
        ]  # fmt: skip

    def keep(self, kept: np.ndarray) -> None:
        """Lose the other requests."""
        self.user, self.start, self.entry, self.levels = (
            column[kept] for column in (self.user, self.start, self.entry, self.levels)
        )  # fmt: skip


@pytest.mark.parametrize("ramp", [0.0, 0.8], ids=["steady", "ramping"])
def test_healthy_flags_rarely_alarm(ramp: float) -> None:
    """At most one in a hundred shops, also where users are unlike and some flags are evaluated on some paths only."""
    ratio = after = 0
    for seed in range(300):
        traffic = Traffic(seed, ramp=ramp)
        ratio += bool(traffic.uneven())
        # Paths that some users take more often than others.
        path = traffic.rng.random(USERS)[traffic.user]
        traffic.levels[:, 3:] = np.where(
            (traffic.rng.random(REQUESTS) < path)[:, None], traffic.levels[:, 3:], ABSENT
        )  # fmt: skip
        after += bool(traffic.after())
    assert max(ratio, after) <= 3


def test_units_that_go_missing_at_an_entry_are_noticed() -> None:
    """Requests under one level that never arrive from one entry point."""
    traffic = Traffic(1)
    on = traffic.levels[:, 0] == ON
    traffic.keep(~(on & (traffic.entry == 3) & (traffic.user % 3 > 0)))
    assert "units at checkout got flag-0=" in traffic.uneven()[0]


def test_a_stated_ratio_is_tested_by_units() -> None:
    """Half and half is what was drawn; one unit counts once however many requests it sent."""
    traffic = Traffic(2)
    units = units_of(traffic.unit, traffic.start, traffic.levels[:, 0])
    assert unexpected(units, traffic.factors[0], {"on": 0.5, "off": 0.5}) is None
    told = unexpected(units, traffic.factors[0], {"on": 2, "off": 1})
    assert told is not None
    assert "flag-0" in told


def test_a_stated_ratio_alarms_rarely() -> None:
    """At a thousandth, as is usual for this test."""
    alarms = sum(
        unexpected(units_of(t.unit, t.start, t.levels[:, 0]), t.factors[0], {"on": 1, "off": 1}) is not None
        for t in map(Traffic, range(300))
    )
    assert alarms <= 3


@pytest.mark.parametrize(
    ("shares", "told"), [((0.3, 0.5), True), ((0.0, 0.4), True), ((0.4, 0.4), False), ((0.0, 1.0), False)],
    ids=["oftener", "only there", "as often", "nested"],
)  # fmt: skip
def test_evaluations_that_depend_on_another_flag_are_noticed(shares: tuple[float, float], told: bool) -> None:
    """But not where one flag is evaluated exactly under the other's level, which biases nothing."""
    traffic = Traffic(3)
    chance = np.where(traffic.levels[:, 0] == ON, shares[1], shares[0])
    traffic.levels[traffic.rng.random(REQUESTS) >= chance, 1] = ABSENT
    assert {(after.flag.key, after.other.key) for after in traffic.after()} == (
        {("flag-1", "flag-0")} if told else set()
    )


def codes_of(recording: Recording, **question: Any) -> dict[str, str]:
    """The warnings of a report on the recording."""
    return {w.code: w.message for w in reported(recording, draw_map=False, **question).document.warnings}


def test_a_report_warns_of_both() -> None:
    """A healthy shop is warned of only where another ratio was meant, or where evaluations are lost under a level."""
    recording = recorded(shop(plants=()))
    half, most = (Settings(expected_ratio={"new-pricing": {"on": on, "off": 1 - on}}) for on in (0.5, 0.7))
    healthy = codes_of(recording, settings=half)
    assert not {"sample_ratio_mismatch", "post_treatment"} & set(healthy)
    assert "new-pricing as on" in codes_of(recording, settings=most)["sample_ratio_mismatch"]
    table, records = recording.requests, recording.flag_records
    off = pc.equal(table["flag:new-pricing"], "off").fill_null(False)  # noqa: FBT003  (pyarrow's own)
    unlucky = table["trace_id"].filter(off).slice(0, 600)
    lost = pc.and_(pc.equal(records["flag_key"], "price-badge"), pc.is_in(records["trace_id"], value_set=unlucky))
    torn = codes_of(replace(recording, flag_records=records.filter(pc.invert(lost))))
    assert "under new-pricing=on evaluate price-badge" in torn["post_treatment"]
