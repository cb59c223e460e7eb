"""Scenarios plant what their family says, as large as it says, and nothing that was not asked for."""

import numpy as np
import pytest

from traceguard.errors import UsageError
from traceguard.simulate.anatomy import dissect
from traceguard.simulate.scenarios import FAMILIES, scenario


@pytest.mark.parametrize("family", [name for name in FAMILIES if "nothing" not in name])
def test_a_cause_shows_as_much_as_its_family_says(family: str) -> None:
    """The planted effect at the scenario's entry point has the asked size, and its conditions are the cause."""
    made = scenario(family, 3)
    (plant,) = made.fleet.plants
    effect = made.truth(requests=4000, seeds=(11, 12))[made.entry or ("", "")]
    asked = next((float(word) for word in family.split() if word.replace(".", "").isdigit() and "sd" in family), 1.0)
    if plant.family == "error":
        assert effect.failed == pytest.approx(float(family.split()[1]) / 100, rel=0.35)
    elif plant.family == "calls":
        assert effect.latency_ms > 0.9 * effect.spread_ms
        assert effect.calls > 0
    else:
        wanted = -asked if made.improves else asked
        assert effect.latency_ms / effect.spread_ms == pytest.approx(wanted, rel=0.35)
    levels = {(level.service or level.key, level.level) for level in made.cause}
    planted = set(plant.flags) | set(plant.versions)
    assert levels == ({(key, "on") for key, _ in planted} if made.improves else planted)


def test_every_affected_request_shows_its_flags() -> None:
    """A flag that is evaluated on the way is evaluated wherever its damage is done."""
    for family in ("flag upstream", "flag on some paths"):
        made = scenario(family, 1)
        (plant,) = made.fleet.plants
        anatomy = dissect(made.fleet, requests=3000, seed=5)
        (touched,) = anatomy.execution.touched
        assert touched.any()
        assert anatomy.evaluated(plant.flags[0][0])[touched].all()
        assert not anatomy.evaluated(plant.flags[0][0]).all()
        evaluating = made.fleet.flags[[f.key for f in made.fleet.flags].index(plant.flags[0][0])].evaluated_in[0][0]
        assert (evaluating == plant.service) == (family == "flag on some paths")


def test_identical_flags_are_identical_and_correlated_ones_are_as_told() -> None:
    """The correlation of the two flags is the agreement."""
    for family, agreement in (("correlated 0.5", 0.5), ("correlated 0.9", 0.9), ("identical flags", 1.0)):
        made = scenario(family, 2)
        anatomy = dissect(made.fleet, requests=20_000, seed=5)
        follower = next(f for f in made.fleet.flags if f.agreement == agreement and f.follows is not None)
        first, second = anatomy.level(follower.key), anatomy.level(follower.follows or "")
        assert np.corrcoef(first, second)[0, 1] == pytest.approx(agreement, abs=0.12)
        assert {level.key for level in made.cause} <= {follower.key, follower.follows}


def test_a_version_and_a_flag_come_at_one_moment() -> None:
    """Before it nobody has either, after it everybody both."""
    made = scenario("version with flag", 0)
    anatomy = dissect(made.fleet, requests=3000, seed=5)
    late = anatomy.requests.position >= 0.5
    (key,) = [f.key for f in made.fleet.flags if any(v.step_at is not None for v in f.variants)]
    (service,) = [s.name for s in made.fleet.services if any(v.step_at is not None for v in s.versions)]
    assert (anatomy.level(key) == late).all()
    assert (anatomy.version(service) == late).all()


def test_traffic_grows_as_told() -> None:
    """Under a load that grows the last tenth of the time holds more than twice the requests of the first."""
    made = scenario("nothing, ramp, load", 0)
    position = dissect(made.fleet, requests=20_000, seed=5).requests.position
    assert (np.diff(position) >= 0).all()
    assert position.min() >= 0 < position.max() < 1
    assert (position > 0.9).sum() == pytest.approx(
        (position < 0.1).sum() * (1 + 0.95 * 1.5) / (1 + 0.05 * 1.5), rel=0.1
    )


def test_few_users_send_most_requests() -> None:
    """A tenth of the users send two thirds and more."""
    users = dissect(scenario("nothing, few users", 0).fleet, requests=20_000, seed=5).requests.user
    busiest = np.sort(np.bincount(users, minlength=1000))[::-1]
    assert busiest[:100].sum() > 0.65 * busiest.sum()


def test_the_same_number_gives_the_same_scenario() -> None:
    """Nothing depends on anything but family and seed, and another seed gives another fleet."""
    assert scenario("self, 1 sd", 4) == scenario("self, 1 sd", 4)
    assert scenario("nothing", 4).fleet != scenario("nothing", 5).fleet


def test_every_service_of_a_random_fleet_is_called() -> None:
    """A fleet of sixty services is one of sixty, not of those that chance led to."""
    for seed in range(4):
        fleet = scenario("nothing", seed).fleet
        anatomy = dissect(fleet, requests=6000, seed=5)
        seen = {block.operation.service for block in anatomy.execution.blocks}
        assert seen == {service.name for service in fleet.services}


def test_an_unknown_family_is_refused() -> None:
    """A typo plants nothing."""
    with pytest.raises(UsageError, match="no family"):
        scenario("nothign", 0)
