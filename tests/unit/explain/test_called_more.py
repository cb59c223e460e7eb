"""A service that is called more often is the cause, not what it calls in turn."""

import pytest
from builders.scenes import recorded, reported

from traceguard.simulate import Call, EntryPoint, Flag, Fleet, Operation, Plant, Service, Variant

FLAG = Flag("eager", (Variant("off", 0.5), Variant("on", 0.5)), (("web", None),))


def fleet(*plants: Plant) -> Fleet:
    """A page that asks a search once; the search asks a slow index, beside a session that is asked as well."""
    operations = (
        Operation("web", "GET /", 10, stages=((Call("search", "Find"),), (Call("session", "Load"),))),
        Operation("search", "Find", 3, stages=((Call("index", "Scan"),),)),
        Operation("index", "Scan", 12, stages=((Call("index", "read pages"),),)),
        Operation("index", "read pages", 5, kind="internal"),
        Operation("session", "Load", 4),
    )
    services = tuple(Service(name, tags_user=name == "web") for name in ("web", "search", "index", "session"))
    return Fleet(
        "pages", services, operations, (EntryPoint("web", "GET /", 1.0),), flags=(FLAG,), plants=plants, users=400
    )


@pytest.mark.parametrize("seed", range(3))
def test_more_calls_are_put_down_to_where_they_began(seed: int) -> None:
    """The index takes most of the time, but it is the search that the page now asks three times."""
    plant = Plant("web", "GET /", flags=(("eager", "on"),), extra_calls=2, extra_call=("search", "Find"))
    causes = reported(recorded(fleet(plant), requests=3000, seed=seed)).causes
    assert [(c.service, c.operation) for c in causes[:2]] == [("search", "Find"), ("index", "Scan")]
    assert causes[0].effect.estimate < causes[1].effect.estimate


def test_a_slow_service_is_not_put_down_to_its_callers() -> None:
    """Time a call is no consequence of the calls above it."""
    plant = Plant("index", "Scan", flags=(("eager", "on"),), self_ms=15.0)
    causes = reported(recorded(fleet(plant), requests=3000, seed=1)).causes
    assert (causes[0].service, causes[0].operation) == ("index", "Scan")
