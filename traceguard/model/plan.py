"""The answer of `plan`: the steps of a rollout, and at which of them a regression would show."""

from typing import Literal

from traceguard.model.blast_radius import Target
from traceguard.model.document import SCHEMA_VERSION, Document, Warning
from traceguard.model.entry import Entry
from traceguard.model.window import Window


class PlannedEntry(Entry):
    """An entry point whose requests reach what is rolled out.

    `requests` are the recorded ones that reach it; `added_ms` and `added_errors` what the planned regression adds to
    one of them, `spread_ms` the standard deviation of their latency (capped at its 99% quantile) and `user_effect` by
    how much the variance of their mean exceeds that of independent requests, over the recording. `least_hours` is the
    time until the planned power at the exposure that shows it soonest, null where the plan is blind, and `blind` then
    says why.
    """

    requests: int
    requests_per_hour: float
    users: int
    added_ms: float
    added_errors: float
    spread_ms: float
    user_effect: float
    least_hours: float | None
    blind: str | None


class PlanPoint(Document):
    """The power after so many hours of a step, and the users hit in the step until then."""

    hours: float
    power: float
    users_hit: int


class PlanStep(Document):
    """One step of a rollout: an exposure and how long it lasts.

    `hours` is null where no time reaches the power (`reason` says why) and where nobody is left to compare with.
    `requests` and `users_hit` are those exposed in this step and, users, in all steps until its end; `users_new` are
    hit for the first time. `power` is that at `entry`, null without a concurrent control. `clusters` is the effective
    number of clusters there. `detects_ms` and `detects_errors` are the smallest change at the target that the step
    shows with the planned power. `hours_needed` is the time until that power, whatever the step lasts.
    """

    exposure: float
    hours: float | None
    hours_needed: float | None
    requests: int
    users_new: int
    users_hit: int
    power: float | None
    entry: Entry | None
    clusters: float
    detects_ms: float | None
    detects_errors: float | None
    extrapolated: bool
    reason: str | None
    curve: list[PlanPoint]


class PlannedSize(Document):
    """The regression that must not go unnoticed, added to every call of the target; `assumed` where nobody named it."""

    delay_ms: float
    error_rate: float
    assumed: bool


class Plan(Document):
    """The answer of `plan`.

    `power` and `alpha` are those asked for, `looks` how the report is read: `any_time` (live) or `end_of_step`.
    `tests` is the number of root tests that it adjusts for. `least_exposure` is the smallest exposure at which the
    regression shows within `step_hours` (null: within a year of waiting).
    """

    schema_version: int = SCHEMA_VERSION
    target: Target
    window: Window
    size: PlannedSize
    power: float
    alpha: float
    looks: Literal["any_time", "end_of_step"]
    step_hours: float | None
    most_users: int | None
    recorded_hours: float
    requests_per_hour: float
    users: int
    tests: int
    least_exposure: float | None
    entries: list[PlannedEntry]
    steps: list[PlanStep]
    warnings: list[Warning]
