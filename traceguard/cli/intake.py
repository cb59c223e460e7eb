"""How spans come into a store: `demo`, `serve`, `ingest`."""

import os
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from traceguard.cli.options import DEFAULT_DB, Format, JudgeEvery, Keep, MaxSize, Output, OwnDb, examples

commands = typer.Typer()


def _file(option: str, about: str) -> Any:
    """An option of `serve` that names a file; like all of them it may stand in the environment."""
    variable = f"TRACEGUARD_{option.strip('-').replace('-', '_').upper()}"
    return typer.Option(option, metavar="FILE", envvar=variable, show_envvar=False, help=about)


@commands.command(epilog=examples("traceguard demo", "traceguard demo --requests 1500 -o out"))
def demo(
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", metavar="FOLDER", help="Keep the store and the HTML report in FOLDER."),
    ] = None,
    requests: Annotated[int, typer.Option("--requests", min=200, help="How many requests the shop serves.")] = 3_000,
    seed: Annotated[int, typer.Option("--seed", help="Another seed is another day at the shop.")] = 1,
    format: Format = None,
) -> int:
    """Find a regression planted in a simulated shop.

    Every service sends real OTLP through the OpenTelemetry SDK to a real receiver on this machine. Exit code 0 means
    that the planted flag, service and operation were found at rank 1.
    """
    from traceguard.cli import progress
    from traceguard.demo import run

    with progress.shown() as show:
        return run(output, requests=requests, seed=seed, format=format, show=show)


@commands.command(
    epilog=examples(
        "traceguard serve --db live.duckdb",
        "traceguard serve --db live.duckdb --http 127.0.0.1:8318",
        "traceguard serve --db live.duckdb --keep 7d --max-size 50GB",
        "traceguard serve --db live.duckdb --judge-every 10m",
    )
)
def serve(
    db: OwnDb = DEFAULT_DB,
    grpc: Annotated[
        str, typer.Option("--grpc", metavar="HOST:PORT", help="Where OTLP/gRPC is received.")
    ] = "127.0.0.1:4317",
    http: Annotated[
        str, typer.Option("--http", metavar="HOST:PORT", help="Where OTLP/HTTP, the API and the web page are.")
    ] = "127.0.0.1:4318",
    write_tokens: Annotated[Path | None, _file("--write-token-file", "Tokens to send spans with, one a line.")] = None,
    read_tokens: Annotated[Path | None, _file("--read-token-file", "Tokens to ask with, and for the web page.")] = None,
    admin_tokens: Annotated[Path | None, _file("--admin-token-file", "Tokens that may do everything.")] = None,
    tls_cert: Annotated[Path | None, _file("--tls-cert", "The certificate (chain) of both ports, PEM.")] = None,
    tls_key: Annotated[Path | None, _file("--tls-key", "Its key, PEM, without a passphrase.")] = None,
    tls_client_ca: Annotated[
        Path | None, _file("--tls-client-ca", "Let in only clients with a certificate that it signed.")
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Listen on another address than loopback without tokens or certificates.")
    ] = False,
    max_body: Annotated[
        str | None,
        typer.Option(
            "--max-body",
            envvar="TRACEGUARD_MAX_BODY",
            metavar="SIZE",
            help="The largest request taken, as sent and unpacked (default: 64MiB).",
        ),
    ] = None,
    keep: Keep = None,
    max_size: MaxSize = None,
    judge_every: JudgeEvery = None,
    log_format: Annotated[
        str, typer.Option("--log-format", envvar="TRACEGUARD_LOG_FORMAT", metavar="text|json", help="Lines of the log.")
    ] = "text",
    log_level: Annotated[
        str,
        typer.Option(
            "--log-level", envvar="TRACEGUARD_LOG_LEVEL", metavar="LEVEL", help="debug, info, warning or error."
        ),
    ] = "info",
) -> int:
    """Receive OTLP into a store until stopped.

    Takes OTLP over gRPC and HTTP, answers queries, and serves the web page on the HTTP port. A 2xx answer to an export
    means that the spans are committed to disk.

    Tokens may also stand in TRACEGUARD_WRITE_TOKEN, TRACEGUARD_READ_TOKEN and TRACEGUARD_ADMIN_TOKEN. As soon as there
    is one, every request needs one; /healthz and /readyz stay open.
    """
    from traceguard.cli.answer import local
    from traceguard.server import Access, Role, Tls
    from traceguard.server import serve as run
    from traceguard.settings import load

    settings = load()
    if max_body is not None:
        settings = replace(settings, max_body=max_body)
    settings = replace(
        settings, keep=keep or settings.keep, max_size=max_size or settings.max_size,
        judge_every=judge_every or settings.judge_every,
    )  # fmt: skip
    tokens: dict[Role, Path | None] = {"write": write_tokens, "read": read_tokens, "admin": admin_tokens}
    access = Access.load(tokens, os.environ, Tls.of(tls_cert, tls_key, tls_client_ca))
    run(
        local(db), grpc=grpc, http=http, access=access, insecure=insecure, settings=settings, log_format=log_format,
        log_level=log_level,
    )  # fmt: skip
    return 0


@commands.command(
    epilog=examples(
        "traceguard ingest sample_data --db shop.duckdb", "zcat traces.jsonl.gz | traceguard ingest - --db shop.duckdb"
    )
)
def ingest(
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="Files or folders; - is standard input.")],
    db: OwnDb = DEFAULT_DB,
    format: Format = None,
    output: Output = None,
) -> int:
    """Load OTLP files into a store.

    OTLP/JSON (one request, or one a line), OTLP protobuf (one request, or the Collector's length-prefixed file form)
    and Jaeger JSON; each plain, .gz or .zst, told by content.
    """
    from traceguard.cli.load import run

    return run(paths, db, format=format, out=output)
