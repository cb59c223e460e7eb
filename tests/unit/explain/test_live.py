"""Verdicts of a running rollout: silent however often one looks, and not blind."""

from dataclasses import dataclass, replace

import numpy as np
import pytest
from builders.scenes import DURATION_NS, START_NS, recorded, reported

from traceguard.explain.entries import Clock, entry_effects
from traceguard.explain.verdict import Floor, judge
from traceguard.report import render
from traceguard.simulate import Fleet, Plant, Version, shop
from traceguard.stats.sequential import FIRST_LOOK_CLUSTERS
from traceguard.traces.factors import FIRST_LEVEL, Factor
from traceguard.traces.facts import Facts
from traceguard.units import Period

FLAG = ("new-pricing", "on")
FLAGS = tuple(Factor("flag", key, None, ("", "", "off", "on"), FIRST_LEVEL) for key in ("half", "tenth", "ramp"))
HALF = START_NS + DURATION_NS // 2


@dataclass(frozen=True)
class Rollout:
    """An hour in which nothing happens under three flags, one of them ramping.

    Few users send much, each is slower or faster than others throughout and fails more or less, and one request in a
    hundred takes very long.
    """

    seed: int
    requests: int = 3_000
    users: int = 300

    def alarms(self, looks: int, alpha: float) -> tuple[bool, bool]:
        """Whether a plain and a live verdict say `regression` at any look at the growing window."""
        random = np.random.default_rng(self.seed)
        share = random.pareto(1.5, self.users) + 0.2
        user = random.choice(self.users, self.requests, p=share / share.sum())
        slow, fails = random.normal(0, 0.4, self.users), random.beta(0.5, 20, self.users)
        ms = 50 * np.exp(random.normal(0, 0.6, self.requests) + slow[user])
        ms *= np.where(random.random(self.requests) < 0.01, random.pareto(1.5, self.requests) + 3, 1)
        facts = made_facts((ms * 1e6).astype(np.int64), random.random(self.requests) < fails[user])
        assigned = random.random((self.users, 3))[user]
        exposed = np.column_stack((np.full((self.requests, 2), (0.5, 0.1)), np.linspace(0.02, 0.5, self.requests)))
        levels = (FIRST_LEVEL + (assigned < exposed)).astype(np.int16)
        units = random.integers(0, 2**62, self.users).astype(np.uint64)[user]
        alarmed = {False: False, True: False}
        for end in np.geomspace(100, self.requests, looks).astype(int):
            seen = facts.take(np.arange(end))
            for live in (live for live, done in alarmed.items() if not done):
                found = entry_effects(0, 0, seen, FLAGS, levels[:end], units[:end], Clock(), alpha, live=live)
                alarmed[live] = any(j.regressed(alpha, Floor()) for j in judge([found], alpha))
        return alarmed[False], alarmed[True]


def made_facts(dur: np.ndarray, failed: np.ndarray) -> Facts:
    """Requests of one operation that take these nanoseconds."""
    r = dur.size
    zeros = np.zeros(r, dtype=np.int32)
    return Facts(
        trace_hash=np.arange(r, dtype=np.uint64), entry=zeros, environment=zeros, start=np.arange(r) * 1_000_000_000,
        dur=dur, failed=failed, origin=np.where(failed, 0, -1).astype(np.int32), detached=np.zeros(r, dtype=np.bool_),
        first=np.arange(r + 1), component=zeros, time=dur, calls=np.ones(r, dtype=np.int32),
        retries=zeros, attempts=np.zeros(r, dtype=np.int64), timed_out=np.zeros(r, dtype=np.bool_),
        path=np.zeros(r, dtype=np.uint64), incomplete=np.zeros(r, dtype=np.bool_),
        ambiguous=np.zeros(r, dtype=np.int64), overlapped=np.zeros(r, dtype=np.int64),
        handled=np.zeros(r, dtype=np.int32),
    )  # fmt: skip


def test_looking_again_and_again_raises_no_alarm() -> None:
    """Over 25 looks at nothing at all, live verdicts keep their level, and plain ones alarm at least as often."""
    alpha = 0.2
    runs = [Rollout(seed).alarms(25, alpha) for seed in range(12)]
    plain, live = np.sum(runs, axis=0)
    print(f"regression at any of 25 looks, of {len(runs)} runs at alpha {alpha}: plain {plain}, live {live}")
    assert live <= alpha * len(runs)
    assert plain > live


def test_a_planted_cause_is_found_live() -> None:
    """The verdict, its cause, and wider intervals around the same estimates; the document says which they are."""
    recording = recorded(shop(plants=(Plant("pricing", "ComputeQuote", flags=(FLAG,), self_ms=30),)), requests=6_000)
    live, plain = reported(recording, live=True), reported(recording)
    assert (live.verdict, live.document.inference) == ("regression", "anytime_valid")
    assert (plain.verdict, plain.document.inference) == ("regression", "fixed_horizon")
    assert (live.causes[0].service, live.causes[0].factors) == (plain.causes[0].service, plain.causes[0].factors)
    first, other = live.causes[0].entries[0], plain.causes[0].entries[0]
    assert (first.entry, first.effect.estimate) == (other.entry, other.effect.estimate)
    assert first.effect.low < other.effect.low < other.effect.high < first.effect.high
    assert first.effect.low < 30 < first.effect.high
    means = [next(r for r in a.regressions if r.metric == "latency_mean") for a in (live, plain)]
    assert means[0].p_adjusted > means[1].p_adjusted


def test_silence_when_nothing_happened() -> None:
    """A healthy shop gives no regression live either."""
    analysis = reported(recorded(shop(plants=())), live=True)
    assert (analysis.verdict == "regression", analysis.causes) == (False, [])


def payment_only(fleet: Fleet, version: Version) -> Fleet:
    """The fleet with one version of its payment service."""
    services = tuple(replace(s, versions=(version,)) if s.name == "payment" else s for s in fleet.services)
    return replace(fleet, services=services)


def test_what_came_for_everybody_at_once_makes_no_live_verdict() -> None:
    """It is told in a warning and left undecided, although a finished window would call it a regression."""
    healthy = shop(plants=())
    plant = Plant("payment", "Charge", versions=(("payment", "1.10.0"),), self_ms=60)
    before = recorded(payment_only(healthy, Version("1.9.0")), part=(0, 2))
    after = recorded(replace(payment_only(healthy, Version("1.10.0")), plants=(plant,)), seed=2, part=(1, 2))
    finished, live = reported([before, after]), reported([before, after], live=True)
    assert (finished.verdict, live.verdict) == ("regression", "inconclusive")
    codes = [w.code for w in live.warnings]
    assert ("live_by_time" in codes, "few_blocks" in codes) == (True, False)
    assert "live_by_time" not in [w.code for w in finished.warnings]


def test_periods_are_ranked_live_but_not_judged() -> None:
    """The candidate's cause is listed with its q-value, and the verdict waits for the end."""
    periods = {"baseline": Period(START_NS, HALF), "candidate": Period(HALF, START_NS + DURATION_NS)}
    plant = Plant("pricing", "ComputeQuote", window=(0.5, 1.0), self_ms=40)
    analysis = reported(recorded(shop(plants=(plant,))), live=True, **periods)
    assert (analysis.verdict, analysis.regressions) == ("inconclusive", [])
    assert analysis.causes[0].service == "pricing"
    assert "live_by_time" in [w.code for w in analysis.warnings]


def test_too_few_users_for_a_first_look_are_not_judged() -> None:
    """Fifteen users are enough for a finished window and too few for looks that count."""
    random = np.random.default_rng(1)
    user = random.integers(0, 15, 900)
    facts = made_facts(random.lognormal(18, 0.3, 900).astype(np.int64), np.zeros(900, dtype=np.bool_))
    levels = (FIRST_LEVEL + (user % 2)).astype(np.int16)[:, None]
    for live in (False, True):
        found = entry_effects(0, 0, facts, FLAGS[:1], levels, user.astype(np.uint64), Clock(), 0.05, live=live)
        (judged,) = judge([found], 0.05)
        assert judged.effects.clusters < FIRST_LOOK_CLUSTERS
        assert judged.testable is not live


@pytest.mark.parametrize("form", ["text", "md", "html"])
def test_every_form_says_for_how_many_looks_it_holds(form: str) -> None:
    """One line, and the way to repeat the report."""
    recording = recorded(shop(), requests=800)
    live, plain = (render(reported(recording, live=on), form) for on in (True, False))
    assert "holds at every look" in live
    assert "holds for one look at a finished window" in plain
    assert form != "html" or "--live" in live
