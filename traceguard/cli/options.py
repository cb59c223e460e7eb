"""What several commands declare alike: options that read and work the same everywhere, and how examples stand."""

from pathlib import Path
from typing import Annotated

import typer

DEFAULT_DB = "traceguard.duckdb"

Db = Annotated[
    str,
    typer.Option("--db", envvar="TRACEGUARD_DB", metavar="STORE", help="A store's file, or a running server's URL."),
]
OwnDb = Annotated[
    str, typer.Option("--db", envvar="TRACEGUARD_DB", metavar="FILE", help="The store's file, made if it is missing.")
]
FileDb = Annotated[str, typer.Option("--db", envvar="TRACEGUARD_DB", metavar="FILE", help="The store's file.")]
Keep = Annotated[
    str | None,
    typer.Option("--keep", envvar="TRACEGUARD_KEEP", metavar="DURATION", help="Keep requests this long, such as 7d."),
]
MaxSize = Annotated[
    str | None,
    typer.Option(
        "--max-size",
        envvar="TRACEGUARD_MAX_SIZE",
        metavar="SIZE",
        help="Keep the store below this size on disk, such as 50GB; the oldest requests go.",
    ),
]
JudgeEvery = Annotated[
    str | None,
    typer.Option(
        "--judge-every",
        envvar="TRACEGUARD_JUDGE_EVERY",
        metavar="DURATION",
        help="Judge by itself this often, such as 10m, for the page's history and for alerts; off unless given.",
    ),
]
Reference = Annotated[
    list[str] | None,
    typer.Option(
        "--reference",
        metavar="KEY=LEVEL",
        help="The level that a flag's others are held against, such as new-pricing=off; of a version"
        " service.version@SERVICE=LEVEL. Repeatable.",
    ),
]
Attributes = Annotated[
    list[str] | None,
    typer.Option(
        "--attribute",
        metavar="KEY",
        help="Also compare requests by this attribute, and say which of its values a cause is about. Repeatable.",
    ),
]
Where = Annotated[
    list[str] | None,
    typer.Option(
        "--where",
        metavar="KEY=VALUE",
        help="Only requests whose attribute has this value, such as tenant.id=t42. Repeatable.",
    ),
]
ReadBy = Annotated[
    list[str] | None,
    typer.Option(
        "--read-by", metavar="SERVICE", help="A service that will read the flag, which need not exist yet. Repeatable."
    ),
]
Operation = Annotated[str | None, typer.Option("--operation", metavar="NAME", help="Only this operation of it.")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Requests that started at or after TIME (RFC 3339, or -15m)."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Requests that started before TIME.")]
Environment = Annotated[
    str | None, typer.Option("--env", metavar="NAME", help="Only requests of this deployment environment.")
]
Format = Annotated[
    str | None,
    typer.Option(
        "--format", metavar="FORMAT", help="How to write the result (default: what FILE ends with, else text)."
    ),
]
Output = Annotated[
    Path | None,
    typer.Option("-o", "--output", metavar="FILE", help="Write the result to FILE instead of standard output."),
]


def examples(*lines: str) -> str:
    """The end of a command's help: lines as they can be typed."""
    return "\n".join(("\b", "Examples:" if len(lines) > 1 else "Example:", *(f"  {line}" for line in lines)))
