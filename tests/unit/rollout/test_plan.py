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
from traceguard.simulate import Flag, Plant, Recording, Variant, generate, shop
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
        {"delay": "1ms", "error_rate": "1%"},
    ],
)  # fmt: skip
def test_what_no_plan_can_meet_is_refused(healthy: Path, wrong: dict[str, object]) -> None:
    """One clear sentence each."""
    with pytest.raises(UsageError, match=r"\.$"):
        tg.plan(healthy, service="pricing", **wrong)


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


def test_reports_show_a_planted_regression_as_often_as_planned(healthy: Path, tmp_path: Path) -> None:
    """Of two dozen rollouts as planned, as many are called a regression as the stated power lets expect."""
    plan = tg.plan(healthy, service="pricing", delay="15ms", steps="50%", fixed=True).document
    (step,) = plan.steps
    assert step.hours is not None
    assert step.power is not None
    fleet = shop(plants=(), users=2000)
    flag = Flag(FLAG, (Variant("off", 0.5), Variant("on", 0.5)), (("pricing", "ComputeQuote"),))
    fleet = replace(
        fleet,
        flags=(*fleet.flags, flag),
        plants=(Plant("pricing", "ComputeQuote", flags=((FLAG, "on"),), self_ms=15.0),),
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
