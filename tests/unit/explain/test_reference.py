"""The level that others are held against is the one that the user names."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from builders.scenes import DURATION_NS, START_NS, recorded

import traceguard
from traceguard.errors import UnknownNameError, UsageError
from traceguard.simulate import Flag, Plant, Variant, Version, shop
from traceguard.store import Store, open_store

ODD = Flag("a=b", (Variant("off", 0.5), Variant("x=y", 0.5)), (("frontend", None),))
PLANTS = (
    Plant("pricing", "ComputeQuote", flags=(("new-pricing", "off"),), self_ms=40),
    Plant("shipping", "ShipOrder", versions=(("shipping", "2.3.0"),), self_ms=40),
)


@pytest.fixture(scope="module")
def store() -> Iterator[Store]:
    """A shop whose older ways are slower: a flag that is off, a version that came first."""
    fleet = shop(plants=PLANTS)
    with open_store(":memory:", mode="write") as opened:
        opened.append([recorded(replace(fleet, flags=(*fleet.flags, ODD))).decoded()])
        yield opened


def levels_of(store: Store, **question: Any) -> set[tuple[str, str, str]]:
    """Key, level and reference of each cause."""
    causes = traceguard.report(store, draw_map=False, **question).causes
    return {(f.key, f.level, f.reference) for cause in causes for f in cause.factors}


def test_the_named_level_is_the_reference(store: Store) -> None:
    """What would be an improvement is a regression when it is held the other way round, for flags and versions."""
    assert levels_of(store) == set()
    asked = ["new-pricing=on", "service.version@shipping=2.4.0"]
    expected = {("new-pricing", "off", "on"), ("service.version", "2.3.0", "2.4.0")}
    assert levels_of(store, reference=asked) == expected
    assert levels_of(store, reference=dict(text.split("=") for text in asked)) == expected


def test_it_holds_also_where_everybody_changed_at_once() -> None:
    """The level that came first is the reference of a deploy, unless the user says otherwise."""
    healthy = shop(plants=())

    def payment(version: str) -> tuple[Any, ...]:
        return tuple(replace(s, versions=(Version(version),)) if s.name == "payment" else s for s in healthy.services)

    slow = Plant("payment", "Charge", versions=(("payment", "1.9.0"),), self_ms=60)
    before = recorded(replace(healthy, services=payment("1.9.0"), plants=(slow,)), part=(0, 2))
    after = recorded(replace(healthy, services=payment("1.10.0")), seed=2, part=(1, 2))
    with open_store(":memory:", mode="write") as opened:
        opened.append([before.decoded(), after.decoded()])
        assert levels_of(opened) == set()
        assert levels_of(opened, reference="service.version@payment=1.10.0") == {("service.version", "1.9.0", "1.10.0")}


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("new-pricin=on", "no flag, version or attribute named 'new-pricin'; did you mean new-pricing"),
        ("new-pricing=onn", "no level of new-pricing named 'onn'; did you mean on"),
        ("service.version@shippin=2.4.0", "did you mean service.version@shipping"),
        ("a=b=z", "no level of a=b named 'z'"),
    ],
)
def test_unknown_names_offer_the_nearest(store: Store, text: str, near: str) -> None:
    """A key or a level that the store does not have is refused in one sentence."""
    with pytest.raises(UnknownNameError, match=near.replace("?", r"\?")):
        levels_of(store, reference=text)


@pytest.mark.parametrize("texts", [("new-pricing",), ("=on",), ("new-pricing=on", "new-pricing=off")])
def test_what_is_no_reference_is_refused(store: Store, texts: tuple[str, ...]) -> None:
    """A text without a level, without a key, and two references of one factor."""
    with pytest.raises(UsageError):
        levels_of(store, reference=texts)


def test_keys_and_levels_may_contain_equals_signs(store: Store) -> None:
    """The key that the store has decides where the level begins."""
    assert levels_of(store, reference="a=b=x=y") == set()


def test_a_reference_that_no_request_ran_under_is_told() -> None:
    """The store knows the level, the compared requests do not."""
    calm = Flag("calm", (Variant("off", 1.0, 0.0, step_at=0.5), Variant("on", 0.0, 1.0, step_at=0.5)),
                (("frontend", None),))  # fmt: skip
    with open_store(":memory:", mode="write") as opened:
        opened.append([recorded(replace(shop(plants=()), flags=(calm,)), requests=800).decoded()])
        half = START_NS + DURATION_NS // 2
        codes = [
            {
                w.code
                for w in traceguard.report(opened, until=until, reference="calm=on", draw_map=False).document.warnings
            }
            for until in (half, None)
        ]
    assert ["reference_not_seen" in found for found in codes] == [True, False]
