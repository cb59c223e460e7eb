"""JavaScript's own exporters and flag hooks against a live server: what they send stands in the store."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from builders.live import Live

from traceguard.server import Server

pytestmark = pytest.mark.node

Script = Callable[..., None]

# The conventions' three ways in JavaScript; one span of the driver each.
HOOKS = ("EventHook", "SpanEventHook", "SpanHook")
EVALUATED = [("config", "a"), ("logo", "red"), ("missing", "false"), ("new-pricing", "on"), ("ratio", "half")]


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server for all scripts."""
    path = tmp_path_factory.mktemp("node") / "live.duckdb"
    with Server(path, "127.0.0.1:0", "127.0.0.1:0") as server:
        yield Live.of(server, path)


@pytest.fixture
def script(node: str, node_modules: Path, live: Live, tmp_path: Path) -> Script:
    """Runs a script beside the installed packages; it must end without a word: exporters warn of every refusal."""

    def run(source: Path, endpoint: str | None = None, **environment: str) -> None:
        shutil.copy(source, tmp_path / source.name)
        (tmp_path / "node_modules").symlink_to(node_modules)
        base = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
        target = f"http://{endpoint or live.http_address}"
        ran = subprocess.run(
            [node, tmp_path / source.name],
            env=base | {"OTEL_EXPORTER_OTLP_ENDPOINT": target, "NODE_NO_WARNINGS": "1"} | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")

    return run


@pytest.mark.parametrize("compression", ["none", "gzip"])
@pytest.mark.parametrize("kind", ["http", "proto", "grpc"])
def test_javascript_exporters_send_spans_and_logs(
    script: Script, live: Live, repository: Path, kind: str, compression: str
) -> None:
    """JSON, protobuf and gRPC, plain and packed: spans with all their parts, and log records."""
    service = f"node-{kind}-{compression}"
    script(
        repository / "tests/functional/node/exporters.mjs",
        live.grpc_address if kind == "grpc" else None,
        KIND=kind,
        SERVICE=service,
        OTEL_EXPORTER_OTLP_COMPRESSION=compression,
    )
    rows = live.rows(
        "SELECT operation, trace_id, span_id, parent_span_id, kind, status, status_message, version, attributes,"
        " events, links FROM distinct_spans WHERE service = ? AND operation != 'filler'",
        service,
    )
    server, child = (next(row[1:] for row in rows if row[0] == name) for name in ("POST /orders", "SELECT"))
    assert (server[2:5], server[6]) == ((None, "server", "unset"), "1.2")
    assert (child[0], child[2:6]) == (server[0], (server[1], "client", "error", "no stock"))
    assert json.loads(server[7]) == {
        "user.id": "u7", "text": 'é "quoted"', "yes": True, "int": 2**53 - 1, "float": 0.1, "list": ["a", "b"],
        "ints": [1, 2],
    }  # fmt: skip
    assert [event["name"] for event in json.loads(child[8])] == ["exception"]
    assert [link["span_id"] for link in json.loads(child[9])] == [server[1]]
    found = live.rows(
        "SELECT flag_key, variant FROM flag_evaluations WHERE trace_id = ? AND span_id = ?", server[0], server[1]
    )
    assert found == [("f", "on")]
    logs = live.rows(
        "SELECT trace_id, span_id, severity_text, body FROM logs WHERE event_name = 'order.failed' AND service = ?",
        service,
    )
    assert [(*row[:3], json.loads(row[3])) for row in logs] == [(*server[:2], "ERROR", "order 7 failed")]
    fillers = live.rows("SELECT count(*) FROM spans WHERE service = ? AND operation = 'filler'", service)
    assert fillers == [(300,)]


@pytest.mark.parametrize("form", ["json", "protobuf"])
def test_each_openfeature_hook_tells_each_evaluation_once(
    script: Script, live: Live, repository: Path, form: str
) -> None:
    """Log records, span events and extra spans: once each, of the application's span, with its context."""
    before = {row[0] for row in live.rows("SELECT trace_id FROM spans")}
    script(repository / "tests/data/drivers/openfeature_js.mjs", FORM=form)
    for hook in HOOKS:
        found = live.rows(
            "SELECT f.trace_id, flag_key, variant, context_id, provider FROM flag_evaluations AS f"
            " JOIN distinct_spans USING (trace_id, span_id) WHERE operation = ? ORDER BY flag_key",
            hook,
        )
        rows = [row[1:] for row in found if row[0] not in before]
        assert [row[:2] for row in rows] == EVALUATED
        assert {row[2:] for row in rows} == {("user-42", "in-memory")}
