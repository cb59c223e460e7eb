"""Attributes as factors and filters, and causes narrowed down to the one value that they are about."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from builders.scenes import DURATION_NS, START_NS, recorded, reported

from traceguard.errors import UnknownNameError, UsageError
from traceguard.report import Analysis
from traceguard.settings import Settings
from traceguard.simulate import Plant, Recording, shop
from traceguard.units import Period

SLOW = Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), self_ms=100)
FAILING = Plant("pricing", "ComputeQuote", flags=(("new-pricing", "on"),), error_rate=0.25)


def tenants(recording: Recording, count: int) -> pa.Array:
    """Each request's tenant: a fifth of the users belong to t0, the others to `count` more."""
    users, number = np.unique(recording.requests["user"].to_numpy(zero_copy_only=False), return_inverse=True)
    drawn = np.random.default_rng(7).random(users.size)
    return pa.array([f"t{0 if d < 0.2 else 1 + int(d * 1e6) % count}" for d in drawn[number]])


def cohorts(plant: Plant, count: int, only: str | None, seed: int = 1, users: int = 500) -> Recording:
    """A shop whose roots say tenant and region, and where the plant acts only for the requests of one tenant."""
    healthy = recorded(shop(plants=(), users=users), requests=6_000, seed=seed)
    sick = recorded(shop(plants=(plant,), users=users), requests=6_000, seed=seed)
    tenant = tenants(healthy, count)
    mine = healthy.requests["trace_id"].filter(pc.equal(tenant, only) if only else pa.array([True] * len(tenant)))

    def spans(of: Recording, *, wanted: bool) -> pa.Table:
        chosen = pc.is_in(of.spans["trace_id"], value_set=mine.combine_chunks())
        return of.spans.filter(chosen if wanted else pc.invert(chosen))

    # The same requests in both recordings, but for what the plant does: each one's spans come from one of them.
    table = pa.concat_tables([spans(sick, wanted=True), spans(healthy, wanted=False)])
    of_trace = dict(zip(healthy.requests["trace_id"].to_pylist(), tenant.to_pylist(), strict=True))
    attributes = [
        text if parent else _with(text, of_trace[trace])
        for text, parent, trace in zip(
            *(table[name].to_pylist() for name in ("attributes", "parent_span_id", "trace_id")), strict=True
        )
    ]
    at = table.schema.get_field_index("attributes")
    return replace(healthy, spans=table.set_column(at, "attributes", pa.array(attributes, pa.string())))


def _with(text: str | None, tenant: str) -> str:
    region = "eu" if tenant in {"t0", "t1", "t2"} else "us"
    return f'{{"tenant.id":"{tenant}","region":"{region}",{(text or "{}")[1:]}'.replace(",}", "}")


def narrowed(analysis: Analysis, factor: str = "new-pricing") -> tuple[str, str] | None:
    """Key and value that the cause of the factor is about."""
    cause = next(c for c in analysis.document.causes if c.factors[0].key == factor)
    assert (cause.service, cause.operation) == ("pricing", "ComputeQuote")
    return (cause.narrowed_to.key, cause.narrowed_to.value) if cause.narrowed_to else None


@pytest.fixture(scope="module")
def one_tenant() -> Recording:
    """Only t0 is slower."""
    return cohorts(SLOW, 5, "t0")


def test_a_cause_is_narrowed_to_the_tenant_and_not_to_its_region(one_tenant: Recording) -> None:
    """The document holds both effects, and the sentence says whom it is about."""
    analysis = reported(one_tenant, attributes=["region", "tenant.id"], draw_map=False)
    assert narrowed(analysis) == ("tenant.id", "t0")
    cause = analysis.document.causes[0]
    assert cause.factors[0].key == "new-pricing"
    assert [c.rank for c in analysis.document.causes] == list(range(1, len(analysis.document.causes) + 1))
    found = cause.narrowed_to
    assert found is not None
    assert found.inside.low <= 103 <= found.inside.high  # the pace of users and requests stretches what is planted
    assert abs(found.outside.estimate) < 4
    assert found.share > 0.8
    assert 0.1 < found.fraction < 0.35
    assert ", only for tenant.id=t0 (" in cause.summary


def test_values_too_many_for_a_factor_narrow_all_the_same() -> None:
    """Sixty tenants are set aside as a factor, with a warning."""
    analysis = reported(cohorts(SLOW, 60, "t0", users=3_000), attributes="tenant.id", draw_map=False)
    assert narrowed(analysis) == ("tenant.id", "t0")
    assert "unbounded_attribute" in [w.code for w in analysis.document.warnings]
    assert not [f for c in analysis.document.causes for f in c.factors if f.kind == "attribute"]


def test_a_change_between_periods_is_narrowed() -> None:
    """One tenant is slower in the candidate period, whatever its flags."""
    half, end = START_NS + DURATION_NS // 2, START_NS + DURATION_NS
    slow = Plant("pricing", "ComputeQuote", window=(0.5, 1.0), self_ms=80)
    periods = {"baseline": Period(START_NS, half), "candidate": Period(half, end)}
    analysis = reported(cohorts(slow, 60, "t0", users=3_000), attributes=["tenant.id"], draw_map=False, **periods)
    assert narrowed(analysis, "period") == ("tenant.id", "t0")


def test_errors_are_narrowed_too() -> None:
    """Requests of one tenant fail under the flag."""
    analysis = reported(cohorts(FAILING, 5, "t0"), attributes=["tenant.id"], draw_map=False)
    assert narrowed(analysis) == ("tenant.id", "t0")


@pytest.mark.parametrize("count", [5, 60])
def test_what_hits_everybody_is_not_narrowed(count: int) -> None:
    """The effect is the same inside and outside."""
    analysis = reported(cohorts(SLOW, count, None), attributes=["tenant.id", "region"], draw_map=False)
    assert narrowed(analysis) is None


def test_an_attribute_is_a_factor(one_tenant: Recording) -> None:
    """Without the flag in sight the tenant itself is what is slower."""
    bare = replace(one_tenant, flag_records=one_tenant.flag_records.slice(0, 0))
    analysis = reported(bare, settings=Settings(attributes=("tenant.id",)), reference="tenant.id=t1", draw_map=False)
    factor = analysis.document.causes[0].factors[0]
    assert (factor.kind, factor.key, factor.level, factor.reference) == ("attribute", "tenant.id", "t0", "t1")


def test_only_requests_with_the_value_are_kept(one_tenant: Recording) -> None:
    """What has another value, or none, is counted as left out; conditions on one key are alternatives."""

    def left(*where: str) -> tuple[int, list[tuple[str, str, int]]]:
        document = reported(one_tenant, where=where, draw_map=False).document
        return document.window.requests or 0, [(r.kind, r.name, r.requests) for r in document.left_out]

    everything, none = left()
    assert none == []
    inside, rules = left("tenant.id=t0")
    assert rules == [("attribute", "tenant.id != t0", everything - inside)]
    assert left("tenant.id=t0", "tenant.id=t1", "region=e*")[0] > inside
    assert left("tenant.id=t0", "region=us")[0] == 0


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"where": "tenant.id=t00"}, UnknownNameError, "no value of tenant.id named 't00'; did you mean t0"),
        ({"where": "tenant.idd=t0"}, UsageError, "No span of the window has the attribute 'tenant.idd'"),
        ({"attributes": "tenant.idd"}, UsageError, "No span of the window has the attribute 'tenant.idd'"),
        ({"where": "tenant.id"}, UsageError, "is not KEY=VALUE"),
        ({"attributes": "tenant.id", "reference": "tenant.id=t9"}, UnknownNameError, "level of tenant.id named 't9'"),
    ],
)
def test_unknown_names_are_refused(
    one_tenant: Recording, asked: dict[str, Any], error: type[Exception], said: str
) -> None:
    """In one sentence, which offers the nearest where there are any."""
    with pytest.raises(error, match=said):
        reported(one_tenant, **asked, draw_map=False)


def test_an_attribute_of_the_settings_may_be_missing(one_tenant: Recording) -> None:
    """Settings serve many stores, so that is a warning."""
    analysis = reported(one_tenant, settings=Settings(attributes=("browser",)), draw_map=False)
    assert "attribute_not_seen" in [w.code for w in analysis.document.warnings]
