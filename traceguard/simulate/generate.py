"""A fleet to a recording: draw the requests, run them, lay out their spans in rows, write those as Arrow columns."""

from traceguard.errors import UsageError
from traceguard.simulate import tables
from traceguard.simulate.execution import execute
from traceguard.simulate.fleet import Fleet
from traceguard.simulate.layout import lay_out
from traceguard.simulate.recording import Recording, Truth
from traceguard.simulate.traffic import arrive


def generate(fleet: Fleet, *, requests: int, seed: int, start_ns: int, duration_ns: int) -> Recording:
    """The telemetry of `requests` requests that start in `[start_ns, start_ns + duration_ns)`.

    Equal arguments give equal recordings. Arrow's text columns end at 2 GiB, about 6 million spans: make longer
    recordings in pieces with different seeds.
    """
    if requests < 1 or duration_ns < 1:
        raise UsageError("A recording needs at least one request and one nanosecond; ask for more.")
    arrivals = arrive(fleet, requests=requests, seed=seed, start_ns=start_ns, duration_ns=duration_ns)
    execution = execute(fleet, arrivals)
    skeleton = lay_out(fleet, arrivals, execution)
    truth = Truth(fleet.plants, execution.touched)
    return Recording(
        fleet=fleet, seed=seed,
        spans=tables.spans(fleet, skeleton), flag_records=tables.flag_records(fleet, skeleton),
        correlations=tables.correlations(skeleton), logs=tables.logs(fleet, skeleton),
        requests=tables.requests(fleet, arrivals, skeleton, truth), truth=truth, skeleton=skeleton,
    )  # fmt: skip
