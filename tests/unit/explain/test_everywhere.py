"""Errors that are few at each entry point and many at all of them."""

import numpy as np
import pytest
from builders.scenes import recorded, reported

from traceguard.simulate import Call, EntryPoint, Flag, Fleet, Operation, Plant, Service, Variant
from traceguard.stats.multiplicity import bonferroni_tarone

PAGES = tuple(f"GET /{page}" for page in "abcdef")
FLAGS = tuple(
    Flag(key, (Variant("off", 0.7), Variant("on", 0.3)), (("web", None),)) for key in ("retry", "pool", "cache")
)


def fleet(*plants: Plant) -> Fleet:
    """Six pages that all ask one store, which now and then fails anyway."""
    pages = tuple(
        Operation("web", page, 8 + i, error_rate=0.02, stages=((Call("store", "Get"),),))
        for i, page in enumerate(PAGES)
    )
    return Fleet(
        "pages", (Service("web", tags_user=True), Service("store")), (*pages, Operation("store", "Get", 4)),
        tuple(EntryPoint("web", page, 1.0) for page in PAGES), flags=FLAGS, plants=plants, users=600,
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(4))
def test_few_errors_at_each_of_many_entry_points_are_found(seed: int) -> None:
    """Some ten failures at each of six pages, beside as many that have nothing to do with the flag."""
    plant = Plant("store", "Get", flags=(("pool", "on"),), error_rate=0.03)
    analysis = reported(recorded(fleet(plant), requests=6000, seed=seed))
    assert analysis.verdict == "regression"
    cause = analysis.causes[0]
    assert (cause.factors[0].key, cause.service, cause.operation, cause.metric) == ("pool", "store", "Get", "error")


def test_no_errors_of_a_flag_are_no_regression() -> None:
    """What fails anyway fails under any flag."""
    verdicts = [reported(recorded(fleet(), requests=3000, seed=seed)).verdict for seed in range(12)]
    assert verdicts.count("regression") <= 2


def test_tests_that_cannot_reach_the_level_do_not_count() -> None:
    """Two tests of a hundred could: they are adjusted for each other only."""
    least = np.concatenate(([1e-9, 1e-8], np.full(98, 0.2)))
    p = np.concatenate(([0.01, 0.5], np.full(98, 0.6)))
    assert bonferroni_tarone(p, least, 0.05)[0] == pytest.approx(0.02)
    assert bonferroni_tarone(p, np.zeros(100), 0.05)[0] == pytest.approx(1.0)
    assert bonferroni_tarone(np.empty(0), np.empty(0), 0.05).size == 0
