"""The truth about a plant's effect: exact parts of every request, and differences of pairs."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from traceguard.errors import UsageError
from traceguard.simulate import Call, EntryPoint, Flag, Fleet, Operation, Plant, Service, Variant, generate, shop
from traceguard.simulate.anatomy import dissect
from traceguard.simulate.true_effect import affected, component_of, true_effects

START_NS, HOUR_NS = 1_780_000_000_000_000_000, 3_600_000_000_000
ON = Variant("on", 0.5)
OFF = Variant("off", 0.5)


def parallel(**plant: float) -> Fleet:
    """An entry point that waits for two calls at once, of which `b` takes 10 ms longer than a healthy `a`."""
    return Fleet(
        name="parallel", services=(Service("door"), Service("a"), Service("b")),
        operations=(
            Operation("door", "GET /", 4.0, 0.0, stages=((Call("a", "x"), Call("b", "y")),)),
            Operation("a", "x", 20.0, 0.0, network_ms=0.0), Operation("b", "y", 30.0, 0.0, network_ms=0.0),
        ),
        entries=(EntryPoint("door", "GET /", 1.0),),
        flags=(Flag("f", (OFF, ON), (("door", None),)),), user_sigma=0.0, request_sigma=0.0,
        plants=(Plant("a", "x", flags=(("f", "on"),), **plant),) if plant else (),
    )  # fmt: skip


def test_parts_add_up_to_every_request() -> None:
    """Each instant of a request belongs to exactly one component."""
    fleet = shop()
    anatomy = dissect(fleet, requests=1500, seed=3)
    queued = ("notifications", "process orders")
    parts = sum(
        anatomy.part_ms(o.service, o.name, locus) for o in fleet.operations for locus in ("self", "inbound")
        if (o.service, o.name) != queued
    )  # fmt: skip
    published = np.zeros(1500)
    for block in anatomy.runs(*queued):
        np.add.at(published, block.request, block.occupied / 1e6)
    checkout = anatomy.requests.entry == 3
    assert np.abs(parts - anatomy.dur_ms)[~checkout].max() < 1e-6
    # A caller that publishes waits for its own PRODUCER span, unless a parallel call takes longer.
    gap = anatomy.dur_ms - parts
    assert ((gap > -1e-6) & (gap <= published + 1e-6)).all()


def test_an_anatomy_is_that_of_the_recording() -> None:
    """Requests, latencies, failures, evaluations and versions are those that `generate` writes."""
    fleet = shop()
    anatomy = dissect(fleet, requests=1500, seed=3, start_ns=START_NS, duration_ns=HOUR_NS)
    written = pl.DataFrame(generate(fleet, requests=1500, seed=3, start_ns=START_NS, duration_ns=HOUR_NS).requests)
    assert (written["dur_ns"].to_numpy() / 1e6 == anatomy.dur_ms).all()
    assert (written["failed"].to_numpy() == anatomy.failed).all()
    for flag in fleet.flags:
        assert (written[f"flag:{flag.key}"].is_not_null().to_numpy() == anatomy.evaluated(flag.key)).all()
    for service in fleet.services:
        assert (written[f"version:{service.name}"].is_not_null().to_numpy() == anatomy.reached(service.name)).all()
    on = (written["flag:new-pricing"] == "on").fill_null(value=False)
    assert (affected(anatomy, fleet.plants[0]) == on.to_numpy()).all()


@pytest.mark.parametrize(("delay", "shown", "part"), [(5.0, 0.0, 0.0), (25.0, 15.0, 45.0)])
def test_what_parallel_calls_hide_does_not_count(delay: float, shown: float, part: float) -> None:
    """A delay shows as far as it makes its call the longest, and then the component has all of the wait."""
    effect = true_effects(parallel(self_ms=delay), requests=400, seeds=(1,))["door", "GET /"]
    assert effect.latency_ms == pytest.approx(shown, abs=1e-6)
    assert effect.part_ms == pytest.approx(part, abs=1e-6)


def test_an_effect_is_per_affected_request_not_per_call() -> None:
    """Requests under the flag that never reach the operation count, too."""
    fleet = parallel(self_ms=40.0)
    door = replace(fleet.operations[0], stages=((Call("a", "x", probability=0.25),), (Call("b", "y"),)))
    effect = true_effects(replace(fleet, operations=(door, *fleet.operations[1:])), requests=8000, seeds=(1, 2))
    assert effect["door", "GET /"].latency_ms == pytest.approx(10.0, rel=0.1)


def test_errors_count_where_they_began() -> None:
    """A propagated failure is the origin's, and the request's."""
    fleet = parallel(error_rate=0.1)
    effect = true_effects(fleet, requests=8000, seeds=(1, 2))["door", "GET /"]
    assert effect.failed == effect.origin == pytest.approx(0.1, rel=0.1)
    assert effect.latency_ms == 0.0


def test_extra_calls_show_at_the_callee() -> None:
    """The component of a plant that calls more often is what it calls."""
    fleet = replace(parallel(), plants=(Plant("door", "GET /", extra_calls=2, extra_call=("b", "y")),))
    assert component_of(fleet, fleet.plants[0]) == ("b", "y", "self")
    effect = true_effects(fleet, requests=400, seeds=(1,))["door", "GET /"]
    assert (effect.calls, effect.latency_ms) == (2.0, pytest.approx(60.0, abs=1e-6))


def test_only_one_plant_has_an_effect_of_its_own() -> None:
    """With none or several the question has no answer."""
    with pytest.raises(UsageError, match="0"):
        true_effects(parallel(), requests=10, seeds=(1,))
