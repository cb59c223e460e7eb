"""Rollout plans: what they promise holds when the rollout happens, and what cannot be promised is said."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

import traceguard as tg
from traceguard.errors import UnknownNameError, UsageError
from traceguard.report import render
from traceguard.rollout.traffic import Users
from traceguard.simulate import Flag, Fleet, Plant, Recording, Variant, generate, shop
from traceguard.store import open_store

START, HOUR = 1_795_000_000_000_000_000, 3_600_000_000_000
FLAG = "rollout-under-test"


def stored(path: Path, recording: Recording) -> Path:
    """Give a store with the recording."""
    with open_store(path, mode="write") as store:
        store.append([recording.decoded()])
    return path


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Record an hour of the shop in good health."""
    recording = generate(shop(plants=(), users=2000), requests=6000, seed=7, start_ns=START, duration_ns=HOUR)
    return stored(tmp_path_factory.mktemp("plan") / "healthy.duckdb", recording)


def test_more_exposure_shows_sooner_and_hits_more_users(healthy: Path) -> None:
    """Steps that can show the regression get shorter as exposure rises; users hit only grow; 100% has no power."""
    plan = tg.plan(healthy, service="pricing", delay="20ms", steps="20%,50%,100%").document
    some, half, everybody = plan.steps
    assert some.hours is not None
    assert half.hours is not None
    assert half.hours < some.hours
    assert some.users_hit < half.users_hit
    assert everybody.power is None
    assert everybody.hours is None
    assert [w.code for w in plan.warnings][-1] == "no_control"
    assert all(step.power == pytest.approx(0.8, abs=0.02) for step in (some, half))
    assert all(a.power <= b.power + 0.02 for a, b in zip(some.curve, some.curve[1:], strict=False))


def test_one_look_is_sooner_than_any_number_of_them(healthy: Path) -> None:
    """The boundary that holds at any time costs time."""
    live, fixed = (
        tg.plan(healthy, service="pricing", delay="20ms", steps=[0.5], fixed=fixed).document.steps[0].hours
        for fixed in (False, True)
    )
    assert live is not None
    assert fixed is not None
    assert fixed < live


def test_a_blind_step_says_why_and_gets_no_time(healthy: Path) -> None:
    """Of 2,000 users, some of whom come very often, 1% can never be told from chance."""
    plan = tg.plan(healthy, service="pricing", delay="20ms", steps="1%,50%").document
    assert plan.steps[0].hours is None
    assert "too few" in (plan.steps[0].reason or "")
    assert "blind_step" in {w.code for w in plan.warnings}
    assert plan.least_exposure is not None
    assert 0.01 < plan.least_exposure < 0.5


def test_a_step_of_given_length_says_what_it_would_show(healthy: Path) -> None:
    """A short step has less power, shows a larger change only, and says how long it would need."""
    plan = tg.plan(healthy, service="pricing", delay="3ms", steps="50%", step_time="10m").document
    (step,) = plan.steps
    assert step.hours == pytest.approx(1 / 6)
    assert step.power is not None
    assert step.power < 0.79
    assert step.detects_ms is not None
    assert step.detects_ms > 3.0
    assert step.hours_needed is None or step.hours_needed > 1 / 6
    assert "weak_step" in {w.code for w in plan.warnings}


def test_without_a_size_a_tenth_of_the_mean_is_planned_for_and_said(healthy: Path) -> None:
    """The document and the text say that the size is an assumption."""
    rollout = tg.plan(healthy, service="pricing", steps="50%")
    assert rollout.document.size.assumed
    assert "an assumption" in render(rollout, "text").replace("\n", " ")
    assert max(map(len, render(rollout, "text").splitlines())) <= 80


def test_too_many_users_are_warned_of(healthy: Path) -> None:
    """The warning names the exposure that hits the fewest."""
    found = tg.plan(healthy, service="pricing", delay="20ms", steps="50%", most_users=1).document.warnings
    assert any(w.code == "too_many_users" and "the fewest are about" in w.message for w in found)


@pytest.mark.parametrize(
    "wrong",
    [
        {"delay": "-1ms"}, {"delay": "0ms"}, {"error_rate": "0"}, {"error_rate": "120%"}, {"power": 0}, {"power": 1.5},
        {"alpha": 0}, {"steps": "0%"}, {"steps": "5%,1%"}, {"steps": ""}, {"step_time": "-1h"}, {"most_users": 0},
        {"delay": "1ms", "error_rate": "1%"}, {"delay": "25h"}, {"step_time": "367d"}, {"most_users": 1.5},
        {"most_users": float("inf")},
    ],
)  # fmt: skip
def test_what_no_plan_can_meet_is_refused(healthy: Path, wrong: dict[str, object]) -> None:
    """One clear sentence each."""
    with pytest.raises(UsageError, match=r"\.$"):
        tg.plan(healthy, service="pricing", **wrong)


def test_a_single_step_may_be_a_number(healthy: Path) -> None:
    """A number means what its text does."""
    number, text = (tg.plan(healthy, service="pricing", delay="20ms", steps=steps) for steps in (0.5, "50%"))
    assert number.document == text.document


def test_a_large_change_shows_a_smaller_one_as_well(healthy: Path) -> None:
    """Where users who must come set the time, the step says how much less it would show."""
    (step,) = tg.plan(healthy, service="pricing", delay="10s", steps="50%").document.steps
    assert step.power is not None
    assert step.power > 0.9
    assert step.detects_ms is not None
    assert 20.0 < step.detects_ms < 5_000.0
    again = tg.plan(
        healthy, service="pricing", delay=step.detects_ms, steps="50%", step_time=f"{step.hours * 3600:.3f}s"
    )
    assert again.document.steps[0].power == pytest.approx(0.8, abs=0.05)


@pytest.mark.parametrize("step_time", [None, "1h"])
def test_one_rule_says_what_shows(healthy: Path, step_time: str | None) -> None:
    """The smallest exposure, the step's power and what it shows agree, also where users are hardly enough."""
    steps = [0.05, 0.08, 0.1, 0.12, 0.14, 0.16, 0.2, 0.5]
    plan = tg.plan(healthy, service="pricing", delay="20ms", steps=steps, step_time=step_time).document
    shown = [s for s in plan.steps if (s.power or 0.0) >= plan.power]
    assert 0 < len(shown) < len(steps)
    assert all((s.detects_ms or np.inf) <= 20.0 for s in shown)
    assert plan.least_exposure is not None
    assert plan.least_exposure <= shown[0].exposure
    assert all(s.exposure < plan.least_exposure for s in plan.steps if s not in shown)
    weak = [w.message for w in plan.warnings if w.code == "weak_step"]
    assert all(f"{100 * s.exposure:.3g}% (" in weak[0] for s in plan.steps if s.power and s not in shown)


def test_a_flag_to_come_is_planned_where_it_will_be_read(healthy: Path) -> None:
    """As if its readers were changed themselves, with one more test than the flags of today."""
    come = tg.plan(healthy, flag="to-come=on", read_by="pricing", delay="20ms", steps="50%").document
    there = tg.plan(healthy, service="pricing", delay="20ms", steps="50%").document
    assert (come.target.flag, come.target.read_by) == ("to-come=on", ["pricing"])
    assert come.steps == there.steps
    with pytest.raises(UnknownNameError, match="--read-by SERVICE"):
        tg.plan(healthy, flag="to-come")


def rolled_out_before(added_ms: float) -> Fleet:
    """Build the shop with a flag that half of its users have already, which adds so much."""
    fleet, place = shop(plants=(), users=3000), ("pricing", "ComputeQuote")
    flag = Flag("before", (Variant("off", 0.5), Variant("on", 0.5)), (place,))
    plants = (Plant(*place, flags=(("before", "on"),), self_ms=added_ms),) if added_ms else ()
    return replace(fleet, flags=(*fleet.flags, flag), plants=plants)


def test_what_other_flags_do_is_no_noise(tmp_path: Path) -> None:
    """Another flag that goes by user lengthens requests by four times their spread: the report knows, so do plans."""
    calm, moved = (
        tg.plan(
            stored(
                tmp_path / f"{added:g}.duckdb",
                generate(rolled_out_before(added), requests=8000, seed=5, start_ns=START, duration_ns=HOUR),
            ),
            service="pricing", delay="15ms", steps="50%", fixed=True,
        ).document
        for added in (0.0, 60.0)
    )  # fmt: skip
    assert moved.steps[0].hours is not None
    assert calm.steps[0].hours is not None
    assert moved.steps[0].hours < 1.5 * calm.steps[0].hours
    of_cart = [next(e for e in plan.entries if e.operation == "POST /cart") for plan in (calm, moved)]
    assert of_cart[1].spread_ms == pytest.approx(of_cart[0].spread_ms, rel=0.2)
    assert of_cart[1].user_effect < 2.0


def test_unknown_names_get_the_nearest(healthy: Path) -> None:
    """As everywhere."""
    with pytest.raises(UnknownNameError, match="pricing"):
        tg.plan(healthy, service="pricin")


def test_users_seen_follow_how_often_each_came() -> None:
    """The number of users by half time is that of the first half; beyond the end it grows on, but slower."""
    draw = np.random.default_rng(3)
    rates = draw.gamma(0.7, 3.0, size=5000)
    unit = np.repeat(np.arange(5000), draw.poisson(rates)).astype(np.uint64)
    users = Users.of(unit, 2.0)
    again = np.count_nonzero(draw.poisson(rates / 2))
    assert users.seen(1.0) == pytest.approx(again, rel=0.04)
    assert users.seen(4.0) == pytest.approx(np.count_nonzero(draw.poisson(2 * rates)), rel=0.05)


@pytest.mark.parametrize("other_ms", [0.0, 30.0])
def test_reports_show_a_planted_regression_as_often_as_planned(tmp_path: Path, other_ms: float) -> None:
    """Of two dozen rollouts as planned, as many are called a regression as the stated power lets expect.

    Also beside another flag whose effect is twice as large as requests spread without it.
    """
    fleet = rolled_out_before(other_ms)
    recording = generate(fleet, requests=24_000, seed=7, start_ns=START, duration_ns=4 * HOUR)
    healthy = stored(tmp_path / "healthy.duckdb", recording)
    plan = tg.plan(healthy, service="pricing", delay="12ms", steps="50%", fixed=True).document
    (step,) = plan.steps
    assert step.hours is not None
    assert step.power is not None
    flag = Flag(FLAG, (Variant("off", 0.5), Variant("on", 0.5)), (("pricing", "ComputeQuote"),))
    fleet = replace(
        fleet,
        flags=(*fleet.flags, flag),
        plants=(*fleet.plants, Plant("pricing", "ComputeQuote", flags=((FLAG, "on"),), self_ms=12.0)),
    )
    found, users = [], []
    for seed in range(24):
        recording = generate(
            fleet, requests=round(6000 * step.hours), seed=seed, start_ns=START, duration_ns=int(step.hours * HOUR)
        )
        store = stored(tmp_path / f"{seed}.duckdb", recording)
        report = tg.report(store, ignore_watermark=True, draw_map=False)
        found.append(any(r.entry == step.entry and r.factors[0].key == FLAG for r in report.regressions))
        on = recording.requests.filter(recording.requests[f"flag:{FLAG}"].to_numpy(zero_copy_only=False) == "on")
        users.append(len(set(on["user"].to_pylist())))
    assert stats.binomtest(sum(found), len(found), step.power).pvalue > 0.005
    assert np.mean(users) == pytest.approx(step.users_hit, rel=0.15)
