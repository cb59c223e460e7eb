"""Sampled requests: weights recover the traffic's rates and times, chance alarms stay rare, unknown rates are told."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from builders.scenes import recorded

import traceguard
from traceguard.engine.ledger import Writer
from traceguard.explain.causes import regression_findings
from traceguard.explain.effects import LevelEffects
from traceguard.explain.entries import Clock, entry_effects
from traceguard.explain.failures import failures
from traceguard.explain.sampling import judge_sampling
from traceguard.explain.verdict import Judged, judge
from traceguard.otlp.columns import Decoded
from traceguard.report import Analysis
from traceguard.simulate import Plant, shop
from traceguard.store import open_store
from traceguard.traces.factors import FIRST_LEVEL, Factor
from traceguard.traces.facts import Facts
from traceguard.traces.link import Names
from traceguard.traces.sampling import Sampling

SECOND = 1_000_000_000
FLAG = Factor("flag", "f", None, ("", "", "off", "on"), FIRST_LEVEL)


@dataclass(frozen=True)
class Traffic:
    """All requests of an entry point, half of the units under a flag, and how a tail sampler keeps them."""

    seed: int
    requests: int = 20_000
    error_rates: tuple[float, float] = (0.02, 0.02)
    means_ms: tuple[float, float] = (100, 100)
    keep: tuple[float, float] = (0.1, 1.0)  # of requests that succeed, and that fail

    def measured(self, *, weighted: bool) -> tuple[LevelEffects, float, float]:
        """The flag's effects as measured from what was kept, and its true ones on mean and error rate."""
        random = np.random.default_rng(self.seed)
        unit = random.integers(0, 2_000, self.requests)
        on = unit % 2
        failed = random.random(self.requests) < np.array(self.error_rates)[on]
        ms = random.lognormal(-0.125, 0.5, self.requests) * np.array(self.means_ms)[on]
        dur = (np.where(failed, 3 * ms, ms) * 1e6).astype(np.int64)
        probability = np.array(self.keep)[failed.astype(int)]
        kept = random.random(self.requests) < probability
        facts = made_facts(dur[kept], failed[kept])
        levels = (FIRST_LEVEL + on[kept]).astype(np.int16)[:, None]
        hashed = (unit.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(7)
        count = 1 / probability[kept] if weighted else None
        effects = entry_effects(0, 0, facts, (FLAG,), levels, hashed[kept], Clock(), 0.05, count)
        (level,) = effects.within
        means, rates = (values[on == 1].mean() - values[on == 0].mean() for values in (dur / 1e6, failed))
        return level, float(means), float(rates)


def made_facts(dur: np.ndarray, failed: np.ndarray) -> Facts:
    """Requests of one operation that take these nanoseconds, over half an hour."""
    r = dur.size
    zeros = np.zeros(r, dtype=np.int32)
    return Facts(
        trace_hash=np.arange(r, dtype=np.uint64) * np.uint64(0xD1342543DE82EF95), entry=zeros, environment=zeros,
        start=np.arange(r) * (1_800 * SECOND // r), dur=dur, failed=failed,
        origin=np.where(failed, 0, -1).astype(np.int32), detached=np.zeros(r, dtype=np.bool_),
        first=np.arange(r + 1), component=zeros, time=dur, calls=np.ones(r, dtype=np.int32),
        retries=zeros, attempts=np.zeros(r, dtype=np.int64), timed_out=np.zeros(r, dtype=np.bool_),
        path=np.zeros(r, dtype=np.uint64), incomplete=np.zeros(r, dtype=np.bool_),
        ambiguous=np.zeros(r, dtype=np.int64), overlapped=np.zeros(r, dtype=np.int64),
        handled=zeros,
    )  # fmt: skip


def test_weights_recover_what_the_sampler_kept_apart() -> None:
    """All failed and a tenth of the other requests are kept: weighted intervals hold the truth, unweighted never do."""
    held, naive, references = [], [], []
    for seed in range(40):
        traffic = Traffic(seed, error_rates=(0.02, 0.05), means_ms=(100, 130))
        for weighted, found in ((True, held), (False, naive)):
            level, mean, rate = traffic.measured(weighted=weighted)
            by_mean, by_rate = level.roots[0], level.roots[-1]
            found.append((by_mean.low < mean < by_mean.high, by_rate.low < rate < by_rate.high))
            if weighted:
                references.append((by_mean.reference, by_rate.reference))
    assert np.mean(held, axis=0).min() >= 0.9
    assert np.mean(naive, axis=0).max() <= 0.1
    np.testing.assert_allclose(np.mean(references, axis=0), (100 * 1.04, 0.02), rtol=0.02)


@pytest.mark.parametrize("keep", [(0.1, 1.0), (0.02, 1.0), (0.5, 0.05)])
def test_nothing_is_found_more_often_than_chance_allows(keep: tuple[float, float]) -> None:
    """Where the flag changes nothing about 5% of the tests say so, and intervals hold the truth at 95%."""
    runs = [Traffic(seed, keep=keep).measured(weighted=True)[0] for seed in range(200)]
    alarms = np.array([[root.p_worse <= 0.05 for root in level.roots] for level in runs]).mean(axis=0)
    assert alarms.max() < 0.11  # four standard errors of 200 runs above 5%
    held = np.mean([[level.roots[k].low <= 0 <= level.roots[k].high for k in (0, -1)] for level in runs], axis=0)
    assert held.min() > 0.89


def test_affected_requests_are_recorded_ones_and_adjusted_ones() -> None:
    """Half of the traffic runs under the flag, however few of its requests were kept."""
    level, _, _ = Traffic(1).measured(weighted=True)
    assert level.affected < 2_000
    assert level.adjusted == pytest.approx(10_000, rel=0.1)


def judged(failed: np.ndarray, count: np.ndarray, policy: np.ndarray | None = None) -> str | None:
    """The sign of bias in these requests."""
    facts = made_facts(np.full(failed.size, SECOND), failed)
    unknown = Sampling.unstated(failed.size).policy
    return judge_sampling(facts, np.arange(failed.size), Sampling(count, unknown if policy is None else policy)).bias


def kept_apart() -> tuple[Judged, np.ndarray, Facts]:
    """One request in four by a slow and failing way, kept one in ten; the others all kept. And which are those.

    The slow ones time out where they fail, and try once more.
    """
    r = 12_000
    random = np.random.default_rng(5)
    rare = np.arange(r) % 4 == 0
    keep = ~rare | (np.arange(r) % 40 == 0)
    on = random.integers(0, 2, r)
    failed = (on == 1) & (random.random(r) < np.where(rare, 0.8, 0.1))
    dur = (random.lognormal(0, 0.2, r) * np.where(rare, 900, 100) * (1 + on) * 1e6).astype(np.int64)
    rare, on, failed, dur = rare[keep], on[keep], failed[keep], dur[keep]
    facts = replace(
        made_facts(dur, failed), timed_out=failed & rare, retries=rare.astype(np.int32),
        path=np.where(failed, 1 + rare, 0).astype(np.uint64),
    )  # fmt: skip
    levels = (FIRST_LEVEL + on).astype(np.int16)[:, None]
    unit = np.arange(rare.size, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    count = np.where(rare, 10.0, 1.0)
    (judged,) = judge([entry_effects(0, 0, facts, (FLAG,), levels, unit, Clock(), 0.05, count)], 0.05)
    return judged, rare, facts


def test_failures_are_told_as_they_are_in_the_traffic() -> None:
    """Timeouts, retries and the commonest way count each request as often as it stands for."""
    names = Names(("shop", "pay"), ((0, "GET /"), (1, "Charge")), ("",))
    judged, _, facts = kept_apart()
    writer = Writer(facts.dur.size)
    writer.add(facts)
    found = failures([(judged, writer.ledger())], 0, "error", names, {1: (0,), 2: (0, 1)})
    assert found.timeout_fraction == pytest.approx(0.73, abs=0.03)  # 0.8 / 4 of 0.8 / 4 + 0.1 * 3 / 4
    assert found.retries_per_request == pytest.approx(0.25, abs=0.02)
    first, second = found.error_paths
    assert [step.service for step in first.steps] == ["shop", "pay"]
    assert first.requests < second.requests
    assert (first.adjusted, second.adjusted) == (10 * first.requests, second.requests)


def test_causes_are_held_against_the_spread_of_the_traffic() -> None:
    """What is slow and mostly dropped spreads the traffic, however little of it was kept."""
    judged, rare, _ = kept_apart()
    (finding,) = regression_findings(judged, ["latency_mean"], 0.05)
    dur = judged.where.facts.dur / 1e6
    everything = np.concatenate([dur, *[dur[rare]] * 9])
    assert judged.effects.latency.sure[0] / finding.score == pytest.approx(everything.std())


def test_a_window_that_fails_throughout_looks_sampled_and_an_outage_does_not() -> None:
    """More than half fail at every moment, against the same number in one long outage."""
    random = np.random.default_rng(3)
    unstated = np.full(1_000, np.nan)
    assert judged(random.random(1_000) < 0.7, unstated) is not None
    outage = np.arange(1_000) >= 200
    assert judged(outage, unstated) is None
    assert judged(random.random(1_000) < 0.3, unstated) is None
    assert judged(random.random(1_000) < 0.7, np.full(1_000, 4.0)) is None


def test_errors_that_state_no_rate_beside_others_that_do_are_a_sign() -> None:
    """Failed requests came another way; rates stated on some requests at random are no sign."""
    random = np.random.default_rng(3)
    failed = random.random(2_000) < 0.2
    assert judged(failed, np.where(failed, np.nan, 10.0)) is not None
    mostly = np.where(random.random(2_000) < np.where(failed, 0.1, 0.9), 10.0, np.nan)
    assert judged(failed, mostly) is not None
    assert judged(failed, np.where(random.random(2_000) < 0.5, 10.0, np.nan)) is None


def test_two_policies_without_a_rate_are_a_sign() -> None:
    """One policy may keep everything alike; two keep something more than the rest."""
    failed = np.arange(100) % 10 == 0
    unstated = np.full(100, np.nan)
    policies = failed.astype(np.int32)
    assert judged(failed, unstated, np.zeros(100, dtype=np.int32)) is None
    assert judged(failed, unstated, policies) is not None
    assert judged(failed, np.full(100, 4.0), policies) is None


def kept(decoded: Decoded, threshold: str | None, share: float) -> Decoded:
    """What a tail sampler leaves: traces whose root failed, and `share` of the others with that threshold."""
    spans = decoded.spans.to_pylist()
    failed = {s["trace_id"] for s in spans if s["parent_span_id"] is None and s["status"] == "error"}
    traces = sorted({s["trace_id"] for s in spans})
    random = np.random.default_rng(8)
    stay = {t for t in traces if t in failed or random.random() < share}
    rows = [
        {**s, "trace_state": threshold and ("ot=th:0" if s["trace_id"] in failed else threshold)}
        for s in spans
        if s["trace_id"] in stay
    ]
    return replace(decoded, spans=type(decoded.spans).from_pylist(rows, schema=decoded.spans.schema))


def sampled_report(threshold: str | None, share: float, plants: tuple[Plant, ...], **question: Any) -> Analysis:
    """The report on a shop behind such a sampler."""
    with open_store(":memory:", mode="write") as store:
        store.append([kept(recorded(shop(plants=plants), requests=12_000).decoded(), threshold, share)])
        return traceguard.report(store, draw_map=False, **question)


ERRORS = (Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), error_rate=0.08),)


def test_a_sampled_shop_tells_its_true_error_rate() -> None:
    """A quarter of the healthy requests is kept: the effect is the planted one, counts say what they stand for."""
    analysis = sampled_report("ot=th:c", 0.25, ERRORS)
    assert analysis.verdict == "regression"
    first = analysis.causes[0]
    assert (first.service, first.metric) == ("pricing", "error")
    assert first.effect.low < 0.08 < first.effect.high
    assert first.requests.adjusted is not None
    assert first.requests.adjusted > 2 * first.requests.affected
    sampling = analysis.document.sampling
    assert sampling is not None
    assert (sampling.stated, sampling.biased) == (1.0, False)
    assert sampling.adjusted_requests > 2 * analysis.document.window.traces
    assert "adjusted_counts" in [w.code for w in analysis.document.warnings]


def test_without_a_rate_errors_that_were_kept_are_not_judged() -> None:
    """Where mostly errors are left and nothing says how they were sampled the verdict on error rates is withheld."""
    analysis = sampled_report(None, 0.01, ERRORS)
    sampling = analysis.document.sampling
    assert sampling is not None
    assert (sampling.stated, sampling.biased) == (0.0, True)
    assert "unknown_sampling" in [w.code for w in analysis.document.warnings]
    assert analysis.verdict == "inconclusive"


def test_few_events_of_sampled_requests_have_p_values() -> None:
    """Weights leave fractions of events, and every test answers all the same."""
    draw = np.random.default_rng(3)
    r = 3_000
    on, weight = draw.integers(0, 2, r), np.where(draw.random(r) < 0.5, 2.0, 4.0)
    failed = draw.random(r) < np.where(on, 0.015, 0.003)
    facts = made_facts(draw.integers(90, 110, r) * SECOND // 1_000, failed)
    levels = (FIRST_LEVEL + on).astype(np.int16)[:, None]
    unit = np.arange(r, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    (found,) = entry_effects(0, 0, facts, (FLAG,), levels, unit, Clock(), 0.05, weight).within
    assert all(0.0 <= p <= 1.0 for root in found.roots for p in (root.p_worse, root.p_better))
    assert found.roots[-1].p_worse < 0.01
