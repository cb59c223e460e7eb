"""How honest `traceguard plan` is: the power that it states beside how often reports really show the regression.

    python benchmarks/plan.py [--seeds 100] [--cases TEXT] [--show]

For each case a healthy fleet is recorded and one exposure is planned. Then the rollout happens as often as there are
seeds: the same fleet with other users and requests, a flag that exposes that share of the users, the planned regression
at the target, and as many requests as the planned time brings. `found` is the share of reports that call it a
regression under that flag at the entry point that the plan names, `anywhere` at any; `±` is a Monte Carlo standard
error. `users` is the mean number of distinct users who were really exposed, beside the planned number. A case is missed
where `found` lies so far from the stated power that chance does that in less than 1% of cases (two-sided), or users
differ by more than a tenth; then the exit code is 1.
"""

import argparse
import sys
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from scipy import stats

import traceguard as tg
from traceguard.model import PlanStep
from traceguard.report import Rollout, render
from traceguard.simulate import Flag, Fleet, Plant, Recording, Variant, generate, shop
from traceguard.store import open_store

START_NS = 1_795_000_000_000_000_000
HOUR_NS = 3_600_000_000_000
HOURS = 8  # recorded, so that chance in the recording counts for little
UNLIKELY = 0.01
USERS_OFF = 0.1
FLAG = "rollout-under-test"
OTHER = "rolled-out-already"


@dataclass(frozen=True, slots=True)
class Case:
    """A fleet's traffic, what is rolled out, the planned size and exposure, and how the report is read."""

    name: str
    service: str
    operation: str
    exposure: float
    delay_ms: float = 0.0
    error_rate: float = 0.0
    fixed: bool = False
    users: int = 3000
    user_sigma: float = 0.12
    requests: int = 8000  # an hour
    power: float = 0.8
    step_time: str | None = None
    other_ms: float = 0.0  # added by another flag, which half of the users have already

    def fleet(self) -> Fleet:
        """The healthy fleet; its other flags vary as they do."""
        fleet = replace(shop(plants=(), users=self.users), user_sigma=self.user_sigma)
        if not self.other_ms:
            return fleet
        place = (self.service, self.operation)
        flag = Flag(OTHER, (Variant("off", 0.5), Variant("on", 0.5)), (place,))
        plant = Plant(*place, flags=((OTHER, "on"),), self_ms=self.other_ms)
        return replace(fleet, flags=(*fleet.flags, flag), plants=(plant,))

    def rolled_out(self) -> Fleet:
        """The fleet during the step, with the regression for those exposed."""
        fleet = self.fleet()
        flag = Flag(
            FLAG, (Variant("off", 1.0 - self.exposure), Variant("on", self.exposure)), ((self.service, self.operation),)
        )
        plant = Plant(
            self.service, self.operation, flags=((FLAG, "on"),), self_ms=self.delay_ms, error_rate=self.error_rate
        )
        return replace(fleet, flags=(*fleet.flags, flag), plants=(*fleet.plants, plant))


CASES = (
    Case("delay, half", "pricing", "ComputeQuote", 0.5, delay_ms=8.0),
    Case("delay, half, fixed", "pricing", "ComputeQuote", 0.5, delay_ms=8.0, fixed=True),
    Case("delay, quarter", "pricing", "ComputeQuote", 0.25, delay_ms=8.0),
    Case("delay, 5%, fixed", "pricing", "ComputeQuote", 0.05, delay_ms=10.0, fixed=True, users=20_000),
    Case("delay, 5%", "pricing", "ComputeQuote", 0.05, delay_ms=20.0, users=20_000),
    Case("delay, users differ", "pricing", "ComputeQuote", 0.25, delay_ms=15.0, user_sigma=0.4),
    Case("delay, one entry", "payment", "Charge", 0.5, delay_ms=20.0, fixed=True),
    Case("delay, other flag", "pricing", "ComputeQuote", 0.5, delay_ms=8.0, fixed=True, other_ms=60.0),
    Case("delay, short step", "pricing", "ComputeQuote", 0.25, delay_ms=6.0, fixed=True, step_time="10m"),
    Case("errors, half", "payment", "Charge", 0.5, error_rate=0.05),
    Case("errors, half, fixed", "payment", "Charge", 0.5, error_rate=0.05, fixed=True),
    Case("errors, quarter, fixed", "pricing", "ComputeQuote", 0.25, error_rate=0.03, fixed=True),
)


def main() -> int:
    """Run the cases, print a line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--cases", default="", help="only cases whose name holds this text")
    parser.add_argument("--show", action="store_true", help="print each plan")
    given = parser.parse_args()
    print(
        f"{'case':24} {'lasts':>8} {'requests':>8} {'stated':>7} {'found':>13} {'anywhere':>8} {'users':>14}  seconds"
    )
    missed = 0
    for case in CASES:
        if given.cases in case.name:
            missed += not _run(case, given.seeds, show=given.show)
    return 1 if missed else 0


def _run(case: Case, seeds: int, *, show: bool) -> bool:
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        plan = planned(case, Path(folder))
        step = plan.document.steps[0]
        if show:
            print(render(plan, "text"))
        if step.hours is None or step.power is None:
            print(f"{case.name:24} {step.reason}")
            return False
        runs = [rolled_out(case, step, seed, Path(folder)) for seed in range(1, seeds + 1)]
    found, anywhere = (np.array([run[k] for run in runs], dtype=np.float64) for k in (0, 1))
    users = float(np.mean([run[2] for run in runs]))
    share, error = found.mean(), float(np.sqrt(step.power * (1 - step.power) / seeds))
    honest = stats.binomtest(int(found.sum()), seeds, min(step.power, 1.0)).pvalue >= UNLIKELY
    close = abs(users - step.users_new) <= max(USERS_OFF * users, 3.0)
    mark = "" if honest and close else "  MISSED"
    requests = round(case.requests * step.hours)
    print(
        f"{case.name:24} {step.hours * 60:6.1f} m {requests:8,} {step.power:7.1%} {share:7.1%} ±{error:4.1%}"
        f" {anywhere.mean():8.1%} {users:6.0f} of {step.users_new:4d}  {time.perf_counter() - began:.0f}{mark}",
        flush=True,
    )
    return honest and close


def planned(case: Case, folder: Path) -> Rollout:
    """The plan of a case's only exposure, from a healthy recording."""
    recording = generate(
        case.fleet(), requests=HOURS * case.requests, seed=1000, start_ns=START_NS, duration_ns=HOURS * HOUR_NS
    )
    store = _stored(recording, folder)
    return tg.plan(
        store, service=case.service, operation=case.operation, steps=[case.exposure], fixed=case.fixed,
        delay=case.delay_ms or None, error_rate=case.error_rate or None, power=case.power, step_time=case.step_time,
    )  # fmt: skip


def rolled_out(case: Case, step: PlanStep, seed: int, folder: Path) -> tuple[bool, bool, int]:
    """Whether a report shows the regression where the plan says, whether it does anywhere, and the users exposed."""
    hours = step.hours or 0.0
    requests = int(np.random.default_rng(seed).poisson(case.requests * hours))
    recording = generate(
        case.rolled_out(), requests=max(requests, 1), seed=seed, start_ns=START_NS, duration_ns=int(hours * HOUR_NS)
    )
    store = _stored(recording, folder)
    report = tg.report(store, live=not case.fixed, ignore_watermark=True, draw_map=False)
    Path(store).unlink()
    shown = [r.entry for r in report.regressions if any(f.key == FLAG and f.level == "on" for f in r.factors)]
    exposed = recording.requests.filter(recording.requests[f"flag:{FLAG}"].to_numpy(zero_copy_only=False) == "on")
    return step.entry in shown, bool(shown), len(set(exposed["user"].to_pylist()))


def _stored(recording: Recording, folder: Path) -> str:
    path = folder / f"{recording.seed}.duckdb"
    path.unlink(missing_ok=True)
    with open_store(path, mode="write") as store:
        store.append([recording.decoded()])
    return str(path)


if __name__ == "__main__":
    sys.exit(main())
