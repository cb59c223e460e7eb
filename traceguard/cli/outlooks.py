"""What a change would do to requests like those recorded: `blast-radius`, `what-if`, `plan`."""

from typing import Annotated

import typer

from traceguard.cli.options import (
    DEFAULT_DB,
    Db,
    Environment,
    Format,
    Operation,
    Output,
    ReadBy,
    Since,
    Until,
    examples,
)
from traceguard.errors import UsageError

commands = typer.Typer()


@commands.command("blast-radius", epilog=examples(
    "traceguard blast-radius --db shop.duckdb --service pricing",
    "traceguard blast-radius --db shop.duckdb --flag new-pricing=on --format md",
    "traceguard blast-radius --db shop.duckdb --flag to-come --read-by cart",
))  # fmt: skip
def blast_radius(
    db: Db = DEFAULT_DB,
    service: Annotated[str | None, typer.Option("--service", metavar="NAME", help="What may go wrong.")] = None,
    operation: Operation = None,
    flag: Annotated[
        str | None, typer.Option("--flag", metavar="KEY[=VARIANT]", help="The flag whose rollout may go wrong.")
    ] = None,
    read_by: ReadBy = None,
    attribute: Annotated[
        list[str] | None,
        typer.Option(
            "--attribute",
            metavar="KEY",
            help="Also tell the reach by the values of this attribute. Repeatable; default: tenant.id where it occurs.",
        ),
    ] = None,
    time_zone: Annotated[
        str | None,
        typer.Option("--time-zone", metavar="NAME", help="Hours of the week on these clocks, such as Europe/Berlin."),
    ] = None,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """Show who is reached if this goes wrong.

    Takes a service, one of its operations, or a flag.

    Formats: text, json, md, html.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer

    _check_subject("Say what may go wrong", service, operation, flag, read_by)
    question = {
        "service": service, "operation": operation, "flag": flag, "since": since, "until": until, "env": environment,
        "read_by": read_by, "attributes": attribute, "time_zone": time_zone,
    }  # fmt: skip
    return answer("blast-radius", pipeline.blast_radius, db, question, format=format, out=output)


@commands.command("what-if", epilog=examples(
    "traceguard what-if --db shop.duckdb --service pricing --delay 50ms",
    "traceguard what-if --db shop.duckdb --service payment --error-rate 1%",
    "traceguard what-if --db shop.duckdb --flag new-pricing --exposure 50%",
))  # fmt: skip
def what_if(
    service: Annotated[str | None, typer.Option("--service", metavar="NAME", help="The service that changes.")] = None,
    db: Db = DEFAULT_DB,
    operation: Operation = None,
    delay: Annotated[
        str | None,
        typer.Option(
            "--delay",
            metavar="DELAY",
            help="Added to every call: 50ms, lognormal(40ms,0.5) of median and sigma, exponential(40ms) of the mean,"
            " or uniform(10ms,90ms).",
        ),
    ] = None,
    error_rate: Annotated[
        str | None, typer.Option("--error-rate", metavar="SHARE", help="The share of calls that fail, such as 1%.")
    ] = None,
    flag: Annotated[
        str | None,
        typer.Option(
            "--flag",
            metavar="KEY[=VARIANT]",
            help="Instead of a service: a flag that is extended to --exposure of the requests.",
        ),
    ] = None,
    exposure: Annotated[
        str | None, typer.Option("--exposure", metavar="SHARE", help="The share of requests that are hit, such as 5%.")
    ] = None,
    slo: Annotated[
        list[str] | None,
        typer.Option(
            "--slo",
            metavar="OBJECTIVE",
            help="What has to be kept: p99<800ms, mean<300ms, error_rate<1%, also of one entry point"
            " ('POST /checkout: latency<800ms for 99% in 28d'), or an OpenSLO file. Repeatable.",
        ),
    ] = None,
    largest: Annotated[
        str | None,
        typer.Option("--largest", metavar="delay|exposure", help="Look for the largest that still keeps every --slo."),
    ] = None,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """Predict latency and errors after a change.

    Supposes that a service gets slower or fails more, or that a flag is extended to more requests, and predicts each
    entry point from the recorded requests, with intervals, and what becomes of objectives.

    Formats: text, json, md, html.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer

    question = {
        "service": service, "operation": operation, "delay": delay, "error_rate": error_rate, "flag": flag,
        "exposure": exposure, "slo": slo, "largest": largest, "since": since, "until": until, "env": environment,
    }  # fmt: skip
    return answer("what-if", pipeline.what_if, db, question, format=format, out=output)


@commands.command(epilog=examples(
    "traceguard plan --db shop.duckdb --service pricing --delay 20ms",
    "traceguard plan --db shop.duckdb --flag new-pricing --step-time 1h",
    "traceguard plan --db shop.duckdb --flag to-come --read-by cart",
))  # fmt: skip
def plan(
    db: Db = DEFAULT_DB,
    service: Annotated[str | None, typer.Option("--service", metavar="NAME", help="What is rolled out.")] = None,
    operation: Operation = None,
    flag: Annotated[
        str | None, typer.Option("--flag", metavar="KEY[=VARIANT]", help="The flag that is rolled out.")
    ] = None,
    read_by: ReadBy = None,
    delay: Annotated[
        str | None, typer.Option("--delay", metavar="DURATION", help="The delay a call that must show, such as 20ms.")
    ] = None,
    error_rate: Annotated[
        str | None, typer.Option("--error-rate", metavar="SHARE", help="The share of failing calls that must show.")
    ] = None,
    power: Annotated[
        str | None, typer.Option("--power", metavar="SHARE", help="How surely it must show (default: 80%).")
    ] = None,
    alpha: Annotated[
        str | None, typer.Option("--alpha", metavar="SHARE", help="The report's alpha (default: 5%).")
    ] = None,
    steps: Annotated[
        str | None, typer.Option("--steps", metavar="SHARES", help="Exposures (default: 1%,5%,25%,50%,100%).")
    ] = None,
    most_users: Annotated[
        str | None, typer.Option("--most-users", metavar="NUMBER", help="Warn where more are hit before it shows.")
    ] = None,
    step_time: Annotated[
        str | None, typer.Option("--step-time", metavar="DURATION", help="How long each step lasts, such as 1h.")
    ] = None,
    fixed: Annotated[
        bool, typer.Option("--fixed", help="The report is read once, at the end of each step, not at any time.")
    ] = False,
    since: Since = None,
    until: Until = None,
    environment: Environment = None,
    format: Format = None,
    output: Output = None,
) -> int:
    """Plan a rollout: exposure steps and their time.

    From recorded traffic: how long each exposure must last until a regression of the given size would show in the
    report with the given power, and how many users are hit until then. Without a size, a tenth of the mean latency.

    Formats: text, json, md, html.
    """
    from traceguard import pipeline
    from traceguard.cli.answer import answer

    _check_subject("Say what is rolled out", service, operation, flag, read_by)
    question = {
        "service": service, "operation": operation, "flag": flag, "delay": delay, "error_rate": error_rate,
        "power": power, "alpha": alpha, "steps": steps, "most_users": most_users, "step_time": step_time,
        "fixed": fixed or None, "since": since, "until": until, "env": environment, "read_by": read_by,
    }  # fmt: skip
    return answer("plan", pipeline.plan, db, question, format=format, out=output)


def _check_subject(
    wanted: str, service: str | None, operation: str | None, flag: str | None, read_by: list[str] | None
) -> None:
    """UsageError unless the options name either a service or a flag, and nothing that belongs to the other."""
    if (service is None) == (flag is None):
        raise UsageError(f"{wanted}: either --service NAME or --flag KEY.")
    if operation is not None and service is None:
        raise UsageError("--operation belongs to a service; add --service NAME.")
    if read_by and flag is None:
        raise UsageError("--read-by names the services that will read a flag; add --flag KEY.")
