"""Delays as users write them, and the draws that they stand for."""

import math

import numpy as np
import pytest

from traceguard.errors import UsageError
from traceguard.radius.delay import Delay, parse_delay

MS = 1e6


@pytest.mark.parametrize(
    ("text", "mean", "written"),
    [
        ("50ms", 50.0, "50ms"), ("2s", 2000.0, "2000ms"), ("0ms", 0.0, "0ms"), ("exponential(40ms)", 40.0, None),
        ("uniform(10ms, 90ms)", 50.0, "uniform(10ms,90ms)"), ("LogNormal( 40ms , 0.5 )", 40 * math.exp(0.125), None),
    ],
)  # fmt: skip
def test_delays_have_the_mean_of_their_distribution(text: str, mean: float, written: str | None) -> None:
    """The first number of a log-normal one is its median; what is written again reads the same."""
    found = parse_delay(text)
    assert found.mean_ns / MS == pytest.approx(mean)
    assert parse_delay(found.text) == found
    assert written is None or found.text == written


@pytest.mark.parametrize("text", ["lognormal(40ms,0.5)", "exponential(40ms)", "uniform(10ms,90ms)", "50ms"])
def test_draws_follow_the_distribution_and_nothing_else(text: str) -> None:
    """Their mean is the distribution's, they hang on the call alone, and their order does not matter."""
    delay = parse_delay(text)
    key = np.arange(200_000, dtype=np.uint64)
    drawn = delay.draw(key)
    assert drawn.mean() == pytest.approx(delay.mean_ns, rel=0.01)
    assert (drawn >= 0).all()
    assert (delay.draw(key[::-1])[::-1] == drawn).all()
    assert (delay.draw(key[1000:2000]) == drawn[1000:2000]).all()


def test_a_log_normal_delay_has_its_median_and_spread() -> None:
    """Half of the draws lie below the first number; the second is the spread of their logarithm."""
    drawn = parse_delay("lognormal(40ms,0.5)").draw(np.arange(200_000, dtype=np.uint64))
    assert np.median(drawn) == pytest.approx(40 * MS, rel=0.01)
    assert np.log(drawn).std() == pytest.approx(0.5, rel=0.01)


@pytest.mark.parametrize("text", ["50ms", "lognormal(40ms,0.5)", "exponential(40ms)", "uniform(10ms,90ms)"])
def test_scaling_keeps_the_shape(text: str) -> None:
    """Twice the mean is twice every draw."""
    delay, key = parse_delay(text), np.arange(100, dtype=np.uint64)
    twice = delay.scaled(2 * delay.mean_ns)
    assert twice.mean_ns == pytest.approx(2 * delay.mean_ns)
    assert twice.draw(key) == pytest.approx(2 * delay.draw(key), abs=1)
    assert Delay().scaled(5.0).draw(key[:1]).tolist() == [5]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("-5ms", "is negative"), ("lognormal(-5ms,0.5)", "is negative"), ("fast", "not a duration"),
        ("normal(5ms,1ms)", "not a distribution"), ("lognormal(5ms)", "takes 2 values"),
        ("lognormal(5ms,wide)", "standard deviation"), ("lognormal(5ms,-1)", "standard deviation"),
        ("uniform(9ms,5ms)", "shorter bound first"), ("uniform(9ms,5ms", "is not a delay"), ("2d", "longer than a day"),
        ("exponential()", "not a duration"),
    ],
)  # fmt: skip
def test_what_is_no_delay_is_refused_in_a_sentence(text: str, sentence: str) -> None:
    """It says what is wrong."""
    with pytest.raises(UsageError, match=sentence):
        parse_delay(text)
