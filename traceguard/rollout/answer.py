"""The whole way from a store's window to a plan: follow the requests, count what varies, plan."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from traceguard import model
from traceguard.engine.circumstances import Read
from traceguard.engine.local import Window, reduced
from traceguard.errors import UsageError
from traceguard.radius.delay import LONGEST_NS
from traceguard.radius.evaluators import read_evaluators
from traceguard.radius.names import Target
from traceguard.radius.propagation import Propagation
from traceguard.rollout.noise import Traffic
from traceguard.rollout.plan import Wish, assumed_delay, make_plan
from traceguard.rollout.recorded import Recorded, Size, durations, follow
from traceguard.rollout.varying import count_tests
from traceguard.traces.sampling import Sampling, recorded_as
from traceguard.units import Period, parse_duration, parse_fraction

if TYPE_CHECKING:
    import duckdb

Watch = Callable[[str, Iterator[Any]], Iterator[Any]]


def parse_size(delay: str | None, error_rate: str | float | None) -> Size | None:
    """The size asked for; None where none was. UsageError for both at once, nothing, and too much."""
    if delay is not None and error_rate is not None:
        raise UsageError("A plan is for one kind of regression: give either --delay or --error-rate.")
    if delay is not None:
        delay_ns = parse_duration(delay)
        if delay_ns <= 0:
            raise UsageError(f"The delay {delay!r} adds no time; a plan needs one above 0, such as 20ms.")
        if delay_ns > LONGEST_NS:
            raise UsageError(f"The delay {delay!r} is longer than a day.")
        return Size(delay_ns=delay_ns)
    if error_rate is None:
        return None
    rate = parse_fraction(error_rate, "error rate")
    if rate <= 0.0:
        raise UsageError("An error rate of 0 is no regression; a plan needs one above 0, such as 1%.")
    return Size(error_rate=rate)


def parse_wish(
    power: str | float, alpha: float, steps: str | float | Sequence[str | float] | None,
    most_users: str | float | None, step_time: str | None,
) -> Wish:  # fmt: skip
    """What is asked of the plan, from text or numbers; UsageError for what none can meet."""
    wanted = Wish().steps
    if steps is not None:
        listed = (steps,) if isinstance(steps, int | float) else steps
        each = [part for part in listed.split(",") if part.strip()] if isinstance(listed, str) else listed
        wanted = tuple(parse_fraction(step.strip() if isinstance(step, str) else step, "step") for step in each)
    users = None
    if most_users is not None:
        try:
            users = int(most_users)
            whole = isinstance(most_users, str) or users == most_users
        except (ValueError, OverflowError):
            whole = False
        if not whole:
            raise UsageError(f"{most_users!r} is no number of users; write a whole number, such as 500.")
    hours = None if step_time is None else parse_duration(step_time) / 3.6e12
    wish = Wish(parse_fraction(power, "power"), wanted, hours, users)
    wish.check(alpha)
    return wish


def plan(
    cursor: "duckdb.DuckDBPyConnection", window: Window, target: Target, period: Period, size: Size | None, wish: Wish,
    read: Read, sampling: Sampling, *, alpha: float, live: bool,
    left_out: tuple[NDArray[np.bool_], NDArray[np.uint64]] | None = None,
    watch: Watch = lambda _, partitions: partitions,
) -> model.Plan:  # fmt: skip
    """Plan the rollout of `target` from the requests of the window, which `cursor` was opened on.

    `read` is what each of its traces ran under, `sampling` how many requests it stands for.
    """
    # A rollout moves users between the variants of a flag: whoever evaluates it, to whatever, is reached.
    anyhow = replace(target, variant=None)
    evaluators = read_evaluators(cursor, anyhow)
    entries, traces = left_out or (None, None)

    def followed(size: Size, learned: Propagation | None = None) -> Recorded:
        work = follow(anyhow, size, evaluators=evaluators, learned=learned, leave_out=entries, leave_out_traces=traces)
        return Recorded.of(watch("Following requests", reduced(cursor, window, work)))

    asked = size
    if size is None:
        taken = durations(anyhow, evaluators=evaluators, leave_out=entries, leave_out_traces=traces)
        parts = list(watch("Looking at what is reached", reduced(cursor, window, taken)))
        size = Size(delay_ns=assumed_delay(np.concatenate([np.empty(0, np.int64), *parts])))
    learned = None
    if size.error_rate:
        seen = watch("Learning how errors climb", reduced(cursor, window, Propagation.seen_in))
        learned = sum(seen, Propagation.nothing_seen())
    recorded = followed(size, learned)
    tests = count_tests(recorded, read.factors, read.circumstances, target.flag)
    unit = read.circumstances.unit[read.circumstances.rows_of(recorded.requests.trace_hash)]
    stands_for = recorded_as(sampling.count)
    return make_plan(
        target, size, wish, recorded, Traffic(window.begun, window.rows, unit), tests, period, alpha=alpha, live=live,
        assumed=asked is None, sampled=bool((stands_for > 1.0).any()),
    )  # fmt: skip
