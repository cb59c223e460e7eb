"""Recordings hold together: ids, parents, times, errors and flags as the model promises."""

import json

import numpy as np
import polars as pl
import pytest

from traceguard.errors import UsageError
from traceguard.otlp.columns import CORRELATIONS, FLAG_RECORDS, LOGS, SPANS
from traceguard.simulate import (
    Call,
    EntryPoint,
    Fleet,
    Operation,
    Plant,
    Recording,
    Service,
    generate,
    random_fleet,
    shop,
)

START_NS = 1_780_000_000_000_000_000
HOUR_NS = 3_600_000_000_000


def record(fleet: Fleet, requests: int = 1500, seed: int = 7) -> Recording:
    """An hour of the fleet."""
    return generate(fleet, requests=requests, seed=seed, start_ns=START_NS, duration_ns=HOUR_NS)


@pytest.fixture(scope="module", params=["shop", "random"])
def recording(request: pytest.FixtureRequest) -> Recording:
    """A recording of the shop, and one of a random fleet."""
    return record(shop() if request.param == "shop" else random_fleet(3))


@pytest.fixture(scope="module")
def spans(recording: Recording) -> pl.DataFrame:
    """The recording's spans with their ends, joined to their parents' columns (suffix `_up`)."""
    every = pl.from_arrow(recording.spans).with_columns(end_ns=pl.col("start_ns") + pl.col("dur_ns"))
    assert isinstance(every, pl.DataFrame)
    return every.join(
        every, left_on=["trace_id", "parent_span_id"], right_on=["trace_id", "span_id"], how="left", suffix="_up"
    )


def test_tables_have_the_schemas_of_decoded_input(recording: Recording) -> None:
    """What is generated can be ingested as if it had been decoded."""
    decoded = recording.decoded()
    assert decoded.spans.schema == SPANS
    assert decoded.flag_records.schema == FLAG_RECORDS
    assert decoded.correlations.schema == CORRELATIONS
    assert decoded.logs.schema == LOGS
    assert decoded.received == recording.span_count + recording.logs.num_rows


def test_ids_are_unique_and_every_parent_exists(recording: Recording, spans: pl.DataFrame) -> None:
    """Each request is one trace with one root, and all else hangs below it."""
    assert spans["span_id"].n_unique() == spans.height == recording.span_count
    assert spans["trace_id"].n_unique() == recording.requests.num_rows
    roots = spans.filter(pl.col("parent_span_id").is_null())
    assert roots.height == recording.requests.num_rows
    assert spans.filter(pl.col("parent_span_id").is_not_null())["service_up"].null_count() == 0
    assert spans["span_id"].str.len_chars().unique().to_list() == [16]
    assert spans["trace_id"].str.len_chars().unique().to_list() == [32]


def test_synchronous_children_lie_inside_their_parents(spans: pl.DataFrame) -> None:
    """A parent waits for what it calls, to the nanosecond."""
    sync = spans.filter(pl.col("parent_span_id").is_not_null() & (pl.col("kind") != "consumer"))
    assert (sync["start_ns"] >= sync["start_ns_up"]).all()
    assert (sync["end_ns"] <= sync["end_ns_up"]).all()


def test_servers_leave_a_gap_on_both_sides_of_the_network() -> None:
    """The CLIENT span of a call is strictly around its SERVER span."""
    table = pl.from_arrow(record(shop()).spans)
    assert isinstance(table, pl.DataFrame)
    table = table.with_columns(end_ns=pl.col("start_ns") + pl.col("dur_ns"))
    pairs = table.filter(pl.col("kind") == "server").join(
        table.filter(pl.col("kind") == "client"), left_on="parent_span_id", right_on="span_id", suffix="_up"
    )
    assert pairs.height > 1000
    assert (pairs["start_ns"] > pairs["start_ns_up"]).all()
    assert (pairs["end_ns"] < pairs["end_ns_up"]).all()
    assert (pairs["operation"] == pairs["operation_up"]).all()
    assert (pairs["service"] != pairs["service_up"]).all()


def test_consumers_start_after_the_message_was_sent() -> None:
    """Work behind a queue follows its PRODUCER span and holds nobody up."""
    table = pl.from_arrow(record(shop()).spans)
    assert isinstance(table, pl.DataFrame)
    consumers = table.filter(pl.col("kind") == "consumer").join(
        table, left_on="parent_span_id", right_on="span_id", suffix="_up"
    )
    assert consumers.height > 50
    assert set(consumers["kind_up"]) == {"producer"}
    assert (consumers["start_ns"] >= consumers["start_ns_up"] + consumers["dur_ns_up"]).all()


def test_errors_come_from_somewhere_and_reach_the_caller(spans: pl.DataFrame) -> None:
    """A failed CLIENT span has a failed SERVER span below it, and its failure is that of the call."""
    servers = spans.filter((pl.col("kind") == "server") & (pl.col("kind_up") == "client"))
    assert (servers["status"].cast(pl.String) == servers["status_up"].cast(pl.String)).all()
    assert servers.filter(pl.col("status") == "error").height > 0


def test_a_tolerated_failure_stays_where_it_is() -> None:
    """The front page answers although its recommendations failed."""
    recording = record(shop(), 6000)
    failed = pl.DataFrame(pl.from_arrow(recording.spans)).filter(
        (pl.col("operation") == "ListRecommendations") & (pl.col("kind") == "server") & (pl.col("status") == "error")
    )
    hit = pl.DataFrame(pl.from_arrow(recording.requests)).filter(pl.col("trace_id").is_in(failed["trace_id"].to_list()))
    front_page = hit.filter(pl.col("entry_operation") == "GET /")
    assert front_page.height > 0
    assert not front_page["failed"].any()


def test_the_same_arguments_give_the_same_recording() -> None:
    """Nothing depends on anything but the arguments; another seed gives other requests."""
    first, second, other = record(shop()), record(shop()), record(shop(), seed=8)
    assert first.spans.equals(second.spans)
    assert first.flag_records.equals(second.flag_records)
    assert first.logs.equals(second.logs)
    assert first.requests.equals(second.requests)
    assert not set(first.spans["trace_id"].to_pylist()) & set(other.spans["trace_id"].to_pylist())


@pytest.mark.parametrize("family", ["self", "inbound", "error", "tail", "calls"])
def test_a_plant_changes_exactly_the_requests_it_touches(family: str) -> None:
    """With and without the plant all other requests are equal, and the touched ones are worse."""
    fleet = random_fleet(4, family=family)  # type: ignore[arg-type]
    ill, well = record(fleet), record(fleet.without_plants())
    touched = ill.truth.touched[0]
    assert 0 < touched.sum() < touched.size / 2
    slower = ill.requests["dur_ns"].to_numpy() - well.requests["dur_ns"].to_numpy()
    failed = ill.requests["failed"].to_numpy().astype(int) - well.requests["failed"].to_numpy()
    assert not slower[~touched].any()
    assert not failed[~touched].any()
    assert (failed if family == "error" else slower)[touched].sum() > 0
    # More calls may reach a service that a request would not have reached: its version is then known.
    given = [name for name in well.requests.column_names if name not in {"dur_ns", "failed"} and "version:" not in name]
    assert ill.requests.select(given).equals(well.requests.select(given))


def test_all_conditions_of_a_plant_must_hold() -> None:
    """A plant on a flag, a version and a part of the hour touches only requests with all three."""
    plant = Plant(
        "shipping", "QuoteShipping", flags=(("one-click-checkout", "on"),), versions=(("shipping", "2.4.0"),),
        window=(0.25, 0.75), self_ms=40.0,
    )  # fmt: skip
    frame = pl.DataFrame(record(shop(plants=(plant,)), 8000).requests)
    quarter, since = HOUR_NS // 4, pl.col("start_ns") - START_NS
    met = (pl.col("flag:one-click-checkout") == "on") & (pl.col("version:shipping") == "2.4.0")
    met &= (since >= quarter) & (since < 3 * quarter)
    assert frame["plant:0"].sum() > 50
    assert (frame["plant:0"] == frame.select(met.fill_null(value=False)).to_series()).all()


@pytest.mark.parametrize("cause", ["flag", "version", "pair"])
def test_random_fleets_plant_what_was_asked(cause: str) -> None:
    """The condition has the asked shape, and the touched requests wait about as much longer as asked."""
    fleet = random_fleet(6, cause=cause, strength=0.5)  # type: ignore[arg-type]
    (plant,) = fleet.plants
    assert (len(plant.flags), len(plant.versions)) == {"flag": (1, 0), "version": (0, 1), "pair": (1, 1)}[cause]
    ill, well = record(fleet, 6000), record(fleet.without_plants(), 6000)
    touched = ill.truth.touched[0]
    before = pl.DataFrame(well.requests).with_columns(touched=touched)
    usual = before.filter("touched")["entry_operation"].cast(pl.String).mode().item(0)
    spread = before.filter(pl.col("entry_operation").cast(pl.String) == usual)["dur_ns"].std()
    slower = ill.requests["dur_ns"].to_numpy() - well.requests["dur_ns"].to_numpy()
    assert 0.25 < slower[touched].mean() / spread < 1.0


def test_a_planted_delay_lands_where_it_was_planted() -> None:
    """Only the planted operation's spans grow, by the planted mean."""
    ill, well = record(shop(), 3000), record(shop(plants=()), 3000)
    names = np.array(ill.spans["operation"].to_pylist())
    kinds = np.array(ill.spans["kind"].to_pylist())
    frames = [pl.DataFrame(pl.from_arrow(r.spans)).select("span_id", "dur_ns") for r in (ill, well)]
    grown = frames[0].join(frames[1], on="span_id", how="inner", maintain_order="left", suffix="_well")
    delta = (grown["dur_ns"] - grown["dur_ns_well"]).to_numpy() / 1e6
    planted = (names == "ComputeQuote") & (kinds == "server")
    assert delta[planted][delta[planted] > 0].mean() == pytest.approx(60.0, rel=0.05)
    leaves = np.isin(names, ["SELECT discounts", "load rules", "GET products"])
    assert not delta[leaves].any()


def test_flags_agree_within_a_user_and_split_as_told() -> None:
    """A user always sees the same level, about the told part of users sees each, and correlated flags go together."""
    frame = pl.from_arrow(record(shop(users=2000), 20_000).requests)
    assert isinstance(frame, pl.DataFrame)
    seen = frame.drop_nulls("flag:new-pricing")
    per_user = seen.group_by("user").agg(
        pl.col("flag:new-pricing").n_unique().alias("levels"), pl.first("flag:new-pricing")
    )
    assert per_user["levels"].max() == 1
    assert (per_user["flag:new-pricing"] == "on").mean() == pytest.approx(0.5, abs=0.05)
    agrees = seen.filter(pl.col("flag:new-pricing") == pl.col("flag:price-badge")).height / seen.height
    assert agrees == pytest.approx(0.75, abs=0.06)


def test_a_ramp_moves_users_over_once() -> None:
    """Exposure of a ramping flag grows over the hour and no user goes back; other entry points never evaluate it."""
    frame = pl.from_arrow(record(shop(), 20_000).requests)
    assert isinstance(frame, pl.DataFrame)
    frame = frame.with_columns(on=pl.col("flag:one-click-checkout") == "on")
    assert frame.filter(pl.col("entry_operation") != "POST /checkout")["on"].null_count() == frame.filter(
        pl.col("entry_operation") != "POST /checkout"
    ).height  # fmt: skip
    checkouts = frame.filter(pl.col("entry_operation") == "POST /checkout")
    half = checkouts.height // 2
    assert checkouts["on"][:half].mean() + 0.1 < checkouts["on"][half:].mean()
    back = checkouts.group_by("user", maintain_order=True).agg(
        (pl.col("on").cast(pl.Int8).diff() < 0).any().alias("back")
    )
    assert not back["back"].any()


def test_flag_records_equal_the_events_and_log_records() -> None:
    """Every evaluation is either an event of its span or a log record, with its user as context."""
    recording = record(shop(), 400)
    from_events = [
        (
            trace,
            span,
            event["attributes"]["feature_flag.key"],
            event["attributes"]["feature_flag.result.variant"],
            event["time_ns"],
        )
        for trace, span, events in zip(
            *(recording.spans[c].to_pylist() for c in ("trace_id", "span_id", "events")), strict=True
        )
        for event in json.loads(events or "[]")
    ]
    from_logs = [
        (
            row["trace_id"],
            row["span_id"],
            *(json.loads(row["attributes"])[f"feature_flag.{k}"] for k in ("key", "result.variant")),
            row["time_ns"],
        )
        for row in recording.logs.to_pylist()
    ]
    assert from_logs
    found = recording.flag_records.select(["trace_id", "span_id", "flag_key", "variant", "time_ns"]).to_pylist()
    assert sorted(from_events + from_logs) == sorted(tuple(row.values()) for row in found)


def test_evaluations_happen_while_their_span_runs(recording: Recording, spans: pl.DataFrame) -> None:
    """An evaluation's time lies inside its span."""
    found = pl.from_arrow(recording.flag_records).join(spans, on=["trace_id", "span_id"])
    assert found.height == recording.flag_records.num_rows
    assert ((found["time_ns"] >= found["start_ns"]) & (found["time_ns"] <= found["end_ns"])).all()


def test_entry_latency_varies_as_real_latency_does() -> None:
    """The logarithm of each entry point's latency has a standard deviation between 0.2 and 0.6."""
    frame = pl.from_arrow(record(shop(plants=()), 5000).requests)
    spread = frame.group_by("entry_operation").agg(pl.col("dur_ns").log().std())["dur_ns"]
    assert spread.is_between(0.2, 0.6).all()


def test_a_fleet_with_a_typo_is_refused() -> None:
    """A plant or call that names nothing would silently plant nothing."""
    with pytest.raises(UsageError, match="ComputeQuot"):
        shop(plants=(Plant("pricing", "ComputeQuot", self_ms=1.0),))
    with pytest.raises(UsageError, match="new-pricing=purple"):
        shop(plants=(Plant("pricing", "ComputeQuote", flags=(("new-pricing", "purple"),), self_ms=1.0),))


def test_a_cycle_is_refused() -> None:
    """An operation that calls itself would never end."""
    loop = Operation("a", "x", 1.0, stages=((Call("a", "x"),),))
    fleet = Fleet("loop", (Service("a"),), (loop,), (EntryPoint("a", "x", 1.0),))
    with pytest.raises(UsageError, match="calls itself"):
        record(fleet, 10)
