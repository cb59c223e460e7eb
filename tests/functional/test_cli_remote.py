"""A running server answers every command like the store's file would, and says in the same words what it refuses."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]

_LISTENING = re.compile(r"OTLP/HTTP on (\S+)\.")
COMMANDS = {
    "report": ["report"],
    "report of a flag": ["report", "--flag", "new-pricing", "--fail-on-regression"],
    "report with references": ["report", "--reference", "new-pricing=on", "--reference", "catalog-cache-v2=on"],
    "report of cohorts": [
        "report",
        "--attribute",
        "http.route",
        "--attribute",
        "user.id",
        "--where",
        "http.request.method=P*",
    ],
    "empty report": ["report", "--until", "2001-01-01T00:00:00Z"],
    "graph": ["graph"],
    "graph of operations": ["graph", "--level", "operation", "--sketches"],
    "graph by slices": ["graph", "--every", "150s", "--sketches"],
    "graph of two periods": [
        "graph",
        "--baseline",
        "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z",
        "--candidate",
        "2026-05-04T10:05:00Z/2026-05-04T10:10:00Z",
    ],
    "report of two periods": [
        "report",
        "--baseline",
        "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z",
        "--candidate",
        "2026-05-04T10:05:00Z/2026-05-04T10:10:00Z",
    ],
    "blast-radius": ["blast-radius", "--flag", "new-pricing=on"],
    "blast-radius of a flag to come": [
        *("blast-radius", "--flag", "to-come=on", "--read-by", "cart", "--read-by", "checkout"),
        *("--attribute", "user.id", "--attribute", "http.route", "--time-zone", "America/New_York"),
    ],
    "plan": ["plan", "--service", "pricing", "--steps", "25%,100%", "--fixed"],
    "plan of a flag to come": [
        *("plan", "--flag", "to-come", "--read-by", "cart", "--read-by", "checkout", "--delay", "20ms"),
        *("--steps", "50%"),
    ],
    "what-if": [
        "what-if",
        "--service",
        "pricing",
        "--operation",
        "ComputeQuote",
        "--delay",
        "50ms",
        "--error-rate",
        "1%",
    ],
    "what-if of a flag": ["what-if", "--flag", "new-pricing=on", "--exposure", "90%", "--slo", "p99<300ms"],
    "largest delay": [
        *("what-if", "--service", "pricing", "--delay", "lognormal(40ms,0.5)", "--largest", "delay"),
        *("--slo", "POST /checkout: latency<300ms for 99% in 28d", "--slo", "mean<=300ms"),
    ],
    "largest exposure": [
        *("what-if", "--service", "pricing", "--delay", "uniform(10ms,90ms)", "--largest", "exposure"),
        *("--slo", "frontend: p95<200ms"),
    ],
    "query": ["query", "slowest_operations", "--param", "service=pricing"],
    "query of a period": ["query", "entry_points", "--since", "2020-01-01T00:00:00Z"],
    "empty query": ["query", "services", "--until", "2001-01-01T00:00:00Z"],
    "empty totals": ["query", "totals", "--until", "2001-01-01T00:00:00Z"],
}
FILES = [
    (["report"], ".html"),
    (["report"], ".xml"),
    (["graph"], ".dot"),
    (
        [
            "graph",
            "--baseline",
            "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z",
            "--candidate",
            "2026-05-04T10:05:00Z/2026-05-04T10:10:00Z",
        ],
        ".html",
    ),
    (["blast-radius", "--service", "pricing"], ".md"),
    (["what-if", "--service", "pricing", "--delay", "50ms"], ".html"),
    (["query", "flag_evaluations"], ".parquet"),
    (["query", "operations"], ".csv"),
]
REFUSED = {
    "unknown service": ["blast-radius", "--service", "pricin"],
    "unknown reader": ["blast-radius", "--flag", "to-come", "--read-by", "pricin"],
    "unknown time zone": ["blast-radius", "--service", "pricing", "--time-zone", "Mars/Olympus"],
    "unknown query": ["query", "service"],
    "unknown service of a query": ["query", "operations", "--param", "service=pricin"],
    "negative limit": ["query", "slowest_operations", "--param", "limit=-1"],
    "empty window": ["query", "services", "--since", "2020-01-01T00:00:00Z", "--until", "2020-01-01T00:00:00Z"],
    "bad time": ["report", "--since", "yesterday"],
    "bad level": ["graph", "--level", "host"],
    "short slices": ["graph", "--every", "1ms"],
    "one period": ["graph", "--baseline", "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z"],
    "periods that overlap": [
        "graph",
        "--baseline",
        "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z",
        "--candidate",
        "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z",
    ],
    "slices of a difference": [
        "graph",
        "--every",
        "1m",
        "--baseline",
        "2026-05-04T10:00:00Z/2026-05-04T10:05:00Z",
        "--candidate",
        "2026-05-04T10:05:00Z/2026-05-04T10:10:00Z",
    ],
    "unknown reference": ["report", "--reference", "new-pricing=onn"],
    "unknown cohort": ["report", "--where", "http.request.method=GETT"],
    "bad share": ["what-if", "--service", "pricing", "--exposure", "150%"],
    "bad delay": ["what-if", "--service", "pricing", "--delay", "-5ms"],
    "bad distribution": ["what-if", "--service", "pricing", "--delay", "normal(5ms,1ms)"],
    "bad objective": ["what-if", "--service", "pricing", "--slo", "p99>5ms"],
    "objective of an unknown entry": ["what-if", "--service", "pricing", "--slo", "POST /chekout: p99<5ms"],
    "unknown flag": ["what-if", "--flag", "new-pricin"],
    "unknown variant": ["what-if", "--flag", "new-pricing=onn"],
    "unknown operation": ["what-if", "--service", "pricing", "--operation", "ComputeQuot"],
    "largest without objective": ["what-if", "--service", "pricing", "--largest", "delay"],
    "two changes": ["what-if", "--service", "pricing", "--flag", "new-pricing"],
}


@pytest.fixture(scope="module")
def server(shop: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a server that owns a copy of the sample store."""
    db = shutil.copy(shop, tmp_path_factory.mktemp("live") / "live.duckdb")
    command = [sys.executable, "-m", "traceguard", "serve", "--db", db, "--grpc=127.0.0.1:0", "--http=127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = next(match for line in process.stderr if (match := _LISTENING.search(line)))
        yield f"http://{found[1]}"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0


@pytest.mark.parametrize("arguments", COMMANDS.values(), ids=COMMANDS)
def test_a_server_answers_like_the_file(run: Run, shop: Path, server: str, arguments: list[str]) -> None:
    """The same document and the same exit code, whether the store is named by its file or by its server."""
    here, there = (run(*arguments, "--db", db, "--format", "json") for db in (shop, server))
    assert there.returncode == here.returncode, there.stderr
    assert json.loads(there.stdout) == json.loads(here.stdout)


@pytest.mark.parametrize(("command", "suffix"), FILES)
def test_a_server_fills_the_same_files(
    run: Run, shop: Path, server: str, tmp_path: Path, command: list[str], suffix: str
) -> None:
    """What is written to a file is the same to the byte in every kind of format, wherever the store is."""
    for name, db in (("here", shop), ("there", server)):
        done = run(*command, "--db", db, "-o", tmp_path / f"{name}{suffix}")
        assert done.returncode == 0, done.stderr
    assert (tmp_path / f"there{suffix}").read_bytes() == (tmp_path / f"here{suffix}").read_bytes()


@pytest.mark.parametrize("command", [["ingest", "sample_data"], ["serve"]], ids=["ingest", "serve"])
def test_commands_that_own_a_store_want_its_file(run: Run, server: str, command: list[str]) -> None:
    """Who wants to write a server's store is told to name a file: only exporters write to a server."""
    done = run(*command, "--db", server)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"Error: {server} is a running server, which owns its store; name a store's file here.\n"


def test_an_empty_answer_of_a_server_keeps_its_columns(run: Run, shop: Path, server: str) -> None:
    """A table without rows is the same table, header included."""
    command = ["query", "services", "--until", "2001-01-01T00:00:00Z", "--format", "csv"]
    here, there = (run(*command, "--db", db) for db in (shop, server))
    assert (there.returncode, there.stdout) == (5, here.stdout)
    assert there.stdout.startswith("service,")


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
def test_a_server_refuses_in_the_same_words(run: Run, shop: Path, server: str, arguments: list[str]) -> None:
    """Errors keep their sentence and their exit code on the way through the server."""
    here, there = (run(*arguments, "--db", db) for db in (shop, server))
    assert (there.returncode, there.stdout, there.stderr) == (2, "", here.stderr)


def test_a_running_servers_store_is_copied(run: Run, shop: Path, server: str, tmp_path: Path) -> None:
    """`snapshot` of a server makes a store that answers like the server's, and never replaces a file."""
    out = tmp_path / "copy.duckdb"
    assert run("snapshot", out, "--db", server).returncode == 0
    here, there = (run("query", "services", "--db", db, "--format", "json") for db in (shop, out))
    assert there.stdout == here.stdout
    assert run("snapshot", out, "--db", server).returncode == 2


def test_a_store_that_a_server_owns_is_refused_with_its_address(run: Run, server: str, tmp_path: Path) -> None:
    """Whoever names the file of a live store is told to ask its server."""
    assert server
    db = tmp_path / "held.duckdb"
    command = [sys.executable, "-m", "traceguard", "serve", "--db", str(db), "--grpc=127.0.0.1:0", "--http=127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ)) as process:
        assert process.stderr is not None
        next(line for line in process.stderr if _LISTENING.search(line))
        done = run("report", "--db", db)
        process.send_signal(signal.SIGTERM)
    assert (done.returncode, done.stdout) == (2, "")
    assert "held by another process" in done.stderr
    assert "http://" in done.stderr
