"""What a running server tells of itself: its metrics, its log and its own spans, which never feed themselves."""

import http.client
import http.server
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from builders.live import PROTOBUF, Live
from builders.otlp import make_span, trace_request
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span
from prometheus_client.parser import text_string_to_metric_families

from traceguard.server import Server
from traceguard.server.watch.telemetry import MARKER, SCOPE
from traceguard.store import open_store

_EXPORT = "opentelemetry.proto.collector.trace.v1.TraceService/Export"
_ANY = "127.0.0.1:0"


class Collector:
    """An OTLP/HTTP receiver that keeps what it got, and may send it on without its headers, as real ones do."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.resources: list[dict[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.onward: str | None = None
        collector = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.take(body, {name.lower(): value for name, value in self.headers.items()})
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Silent."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def take(self, body: bytes, headers: dict[str, str]) -> None:
        """Keep a request, and send it on."""
        request = ExportTraceServiceRequest.FromString(body)
        for resource in request.resource_spans:
            self.resources.append({a.key: a.value.string_value for a in resource.resource.attributes})
            for scope in resource.scope_spans:
                assert scope.scope.name == SCOPE
                self.spans.extend(scope.spans)
        self.headers.append(headers)
        if self.onward:
            _post(self.onward, body)

    def close(self) -> None:
        """Let go of the port."""
        self._server.shutdown()
        self._server.server_close()

    def named(self, name: str, count: int = 1) -> list[Span]:
        """At least so many spans of a name, waiting for them."""
        _until(lambda: sum(span.name == name for span in self.spans) >= count)
        return [span for span in self.spans if span.name == name]


def _until(true: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def _post(address: str, body: bytes, **headers: str) -> int:
    with closing(http.client.HTTPConnection(address, timeout=30)) as connection:
        connection.request("POST", "/v1/traces", body, {"Content-Type": PROTOBUF} | headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status


def _body(number: int = 1, **fields: Any) -> bytes:
    now = time.time_ns()
    span = make_span(
        trace_id=number.to_bytes(16), start_time_unix_nano=now - 2_000_000_000, end_time_unix_nano=now, **fields
    )
    return trace_request(span, resource={"service.name": "shop"}).SerializeToString()


def _attributes(span: Span) -> dict[str, Any]:
    return {a.key: getattr(a.value, str(a.value.WhichOneof("value"))) for a in span.attributes}


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A collector of its own for each test."""
    made = Collector()
    yield made
    made.close()


@pytest.fixture
def traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Live]]:
    """Starts servers that trace themselves under the given environment; they stop in the end."""
    running: list[Server] = []

    def start(http: str = _ANY, **environ: str) -> Live:
        with monkeypatch.context() as patched:
            for name in list(os.environ):
                if name.startswith("OTEL_"):
                    patched.delenv(name)
            for name, value in ({"OTEL_BSP_SCHEDULE_DELAY": "50"} | environ).items():
                patched.setenv(name, value)
            path = tmp_path / f"live{len(running)}.duckdb"
            running.append(Server(path, _ANY, http, trace_itself=True))
            running[-1].start()
        return Live.of(running[-1], path)

    yield start
    for server in running:
        server.stop()


class Serving:
    """`traceguard serve` in a process of its own; `http` is where it listens."""

    def __init__(self, db: Path, *options: str, **environ: str) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("OTEL_", "TRACEGUARD_"))}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "traceguard", "serve", "--db", str(db), "--grpc", _ANY, "--http", _ANY, *options],
            stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=clean | environ,
        )  # fmt: skip
        assert self.process.stderr is not None
        self._told = ""
        for line in self.process.stderr:
            self._told += line
            if "The page and the API are at" in line:
                break
        found = re.search(r"OTLP/HTTP on ([\d.:]+\d)", self._told)
        assert found, self._told
        self.http = found[1]

    def stop(self) -> str:
        """Everything that it wrote to standard error until its clean end."""
        self.process.send_signal(signal.SIGTERM)
        out, rest = self.process.communicate(timeout=60)
        assert (self.process.returncode, out) == (0, "")
        return self._told + rest


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    """Starts such processes, and ends those that still run."""
    started: list[Serving] = []

    def start(*options: str, **environ: str) -> Serving:
        started.append(Serving(tmp_path / "live.duckdb", *options, **environ))
        return started[-1]

    yield start
    for one in started:
        one.process.kill()
        one.process.communicate()


def test_metrics_follow_the_spans(tmp_path: Path) -> None:
    """Received, committed, commit time, rows, request time by protocol and lag move with what is sent."""
    with Server(tmp_path / "live.duckdb", _ANY, _ANY) as server:
        live = Live.of(server, tmp_path / "live.duckdb")
        bodies = [_body(number) for number in range(1, 4)]
        for body in bodies:
            assert _post(live.http_address, body) == 200
        live.grpc("traces", bodies[0])
        assert _post(live.http_address, b"\xff") == 400
        _until(lambda: live.metric("traceguard_spans_duplicate_total") == 1)
        answer = live.http("GET", "/metrics")
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        families = {family.name: family for family in text_string_to_metric_families(answer.content.decode())}
        read = {
            (sample.name, sample.labels.get("protocol") or sample.labels.get("reason") or sample.labels.get("le")):
                sample.value for family in families.values() for sample in family.samples
        }  # fmt: skip
    assert read["traceguard_spans_received_total", None] == 4
    assert read["traceguard_spans_committed_total", None] == 4
    assert read["traceguard_spans_duplicate_total", None] == 1
    assert read["traceguard_requests_refused_total", "malformed"] == 1
    assert read["traceguard_request_duration_seconds_count", "http"] == 4
    assert read["traceguard_request_duration_seconds_count", "grpc"] == 1
    assert 0 < read["traceguard_commit_duration_seconds_sum", None] < 60
    assert read["traceguard_commit_rows_sum", None] == 4
    assert 0 <= read["traceguard_span_lag_seconds", None] < 60
    assert read["traceguard_pending_bytes", None] == 0
    assert read["traceguard_pending_limit_bytes", None] == 256 * 2**20
    assert read["traceguard_pending_requests", None] == read["traceguard_queued_requests", None] == 0
    assert read["traceguard_ready", None] == 1
    assert families["traceguard_build_info"].samples[0].labels["version"]


def test_exports_and_transactions_have_spans(traced: Callable[..., Live], collector: Collector) -> None:
    """A span for each request by the conventions of HTTP and RPC, and one for each transaction with links to them."""
    live = traced(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_RESOURCE_ATTRIBUTES="team=obs")
    assert _post(live.http_address, _body(1)) == 200
    live.grpc("traces", _body(2))
    assert _post(live.http_address, b"\xff") == 400
    over_http, refused = collector.named("POST /v1/traces", 2)
    (over_grpc,) = collector.named(_EXPORT)
    commits = collector.named("commit", 2)
    assert over_http.kind == over_grpc.kind == Span.SPAN_KIND_SERVER
    told = _attributes(over_http)
    assert (told["http.request.method"], told["http.route"], told["http.response.status_code"]) == (
        "POST", "/v1/traces", 200,
    )  # fmt: skip
    assert told["traceguard.spans"] == 1
    assert _attributes(refused)["http.response.status_code"] == 400
    assert over_http.status.code == refused.status.code == 0
    told = _attributes(over_grpc)
    assert (told["rpc.system.name"], told["rpc.method"], told["rpc.response.status_code"]) == ("grpc", _EXPORT, "OK")
    assert {link.span_id for span in commits for link in span.links} == {over_http.span_id, over_grpc.span_id}
    assert {span.kind for span in commits} == {Span.SPAN_KIND_INTERNAL}
    assert _attributes(commits[0])["traceguard.commit.rows"] == 1
    assert collector.resources[0]["service.name"] == "traceguard"
    assert collector.resources[0]["team"] == "obs"
    assert all(headers[MARKER] == "1" for headers in collector.headers)


def test_questions_have_spans_under_their_callers(traced: Callable[..., Live], collector: Collector) -> None:
    """The caller's trace goes on, the stages of the analysis are inside, and nothing of the question's values shows."""
    live = traced(OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces", OTEL_SERVICE_NAME="watcher")
    _post(live.http_address, _body(1))
    trace, parent = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
    answer = live.http("GET", "/api/report?flag=", traceparent=f"00-{trace}-{parent}-01")
    assert answer.status == 200
    assert live.http("GET", "/api/query/operations?service=secret-name").status == 404
    (question,) = collector.named("GET /api/report")
    (whole,) = collector.named("report")
    assert (question.trace_id.hex(), question.parent_span_id.hex()) == (trace, parent)
    assert question.kind == Span.SPAN_KIND_SERVER
    assert whole.parent_span_id == question.span_id
    stages = {span.name for span in collector.spans if span.parent_span_id == whole.span_id}
    assert {"Opening the window", "Explaining"} <= stages
    (missed,) = collector.named("GET /api/query/{name}")
    assert _attributes(missed)["http.response.status_code"] == 404
    assert "secret-name" not in str(collector.spans)
    assert collector.resources[0]["service.name"] == "watcher"


def test_sampling_is_the_environments(traced: Callable[..., Live], collector: Collector) -> None:
    """OTEL_TRACES_SAMPLER decides; what is not sampled is not sent."""
    live = traced(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="parentbased_always_off")
    _post(live.http_address, _body(1))
    sampled = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    live.http("GET", "/api/graph", traceparent=sampled)
    collector.named("graph")
    assert {span.trace_id.hex() for span in collector.spans} == {sampled[3:35]}


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_SDK_DISABLED": "true", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
    ],
)
def test_unasked_telemetry_costs_nothing(environ: dict[str, str], tmp_path: Path) -> None:
    """Where nobody asks for the server's own spans, not even OpenTelemetry's SDK is loaded."""
    code = (
        "import sys\nfrom traceguard.server import Server\n"
        f"with Server({str(tmp_path / 'a.duckdb')!r}, {_ANY!r}, {_ANY!r}, trace_itself=True) as server:\n"
        "    print(*(name for name in sys.modules if name.startswith('opentelemetry.sdk')))"
    )
    clean = {key: value for key, value in os.environ.items() if not key.startswith("OTEL_")}
    ran = subprocess.run([sys.executable, "-c", code], env=clean | environ, capture_output=True, text=True, check=True)
    assert ran.stdout.split() == []


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "0.0.0.0", "[::ffff:127.0.0.1]"])  # noqa: S104  (an endpoint to send to)
def test_a_server_does_not_trace_into_itself(
    traced: Callable[..., Live], caplog: pytest.LogCaptureFixture, host: str, protocol: str
) -> None:
    """An endpoint that is the server's own, by whichever name, turns its spans off with one warning."""
    port = _free_port()
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{host}:{port}", "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
    live = traced(f"127.0.0.1:{port}", **environ)
    assert _post(live.http_address, _body(1)) == 200
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "is this very server" in warnings[0]
    time.sleep(0.3)
    assert live.metric('traceguard_request_duration_seconds_count{protocol="http"}') == 1


def test_two_servers_that_trace_into_each_other_come_to_rest(traced: Callable[..., Live]) -> None:
    """What one sends of itself makes no spans at the other, so nothing goes back and forth."""
    ports = [_free_port(), _free_port()]
    first = traced(f"127.0.0.1:{ports[0]}", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{ports[1]}")
    second = traced(f"127.0.0.1:{ports[1]}", OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{ports[0]}")
    assert _post(first.http_address, _body(1)) == 200
    series = 'traceguard_request_duration_seconds_count{protocol="http"}'
    _until(lambda: second.metric("traceguard_spans_committed_total") >= 2)
    time.sleep(0.5)
    settled = first.metric(series), second.metric(series)
    time.sleep(1.0)
    assert (first.metric(series), second.metric(series)) == settled
    assert settled[0] == 1


def test_a_loop_through_a_collector_comes_to_rest(traced: Callable[..., Live], collector: Collector) -> None:
    """A Collector that drops the marker on the way back does not keep the loop alive: own spans are known by scope."""
    live = traced(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    collector.onward = live.http_address
    assert _post(live.http_address, _body(1)) == 200
    _until(lambda: live.metric("traceguard_spans_committed_total") >= 3)
    time.sleep(0.5)
    settled = len(collector.spans)
    time.sleep(1.0)
    assert len(collector.spans) == settled
    assert {span.name for span in collector.spans} == {"POST /v1/traces", "commit"}


@pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])
def test_an_unreachable_collector_costs_no_request_and_no_stop(
    serving: Callable[..., Serving], tmp_path: Path, protocol: str
) -> None:
    """Exports are acknowledged as ever, the log complains once, and the server stops in time."""
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{_free_port()}",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        "OTEL_BSP_SCHEDULE_DELAY": "50",
    }
    server = serving(**environ)
    for number in range(1, 20):
        assert _post(server.http, _body(number)) == 200
    time.sleep(1.0)
    began = time.monotonic()
    told = server.stop()
    assert time.monotonic() - began < 20
    assert "everything that was acknowledged is in" in told
    assert 1 <= sum("xport" in line and "Error" in line for line in told.splitlines()) <= 3
    with open_store(tmp_path / "live.duckdb") as store, store.cursor() as cursor:
        assert cursor.execute("SELECT count(*) FROM distinct_spans").fetchall() == [(19,)]


def test_what_is_not_known_is_told_and_left_off(traced: Callable[..., Live], caplog: pytest.LogCaptureFixture) -> None:
    """An exporter or protocol that traceguard has not leaves the server running without its own spans."""
    live = traced(OTEL_TRACES_EXPORTER="zipkin")
    assert _post(live.http_address, _body(1)) == 200
    assert "OTEL_TRACES_EXPORTER is 'zipkin'; traceguard can use otlp or console." in caplog.text
    traced(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_EXPORTER_OTLP_PROTOCOL="http/json")
    assert "'http/json' is not grpc or http/protobuf" in caplog.text


def test_the_log_is_objects_where_asked(serving: Callable[..., Serving]) -> None:
    """Every line of a server's life is one JSON object: start, refusals in sum, stop; no value of a request in it."""
    personal = "ann@example.com"
    server = serving(TRACEGUARD_LOG_FORMAT="json")
    for _ in range(30):
        assert _post(server.http, personal.encode()) == 400
    bad = trace_request(make_span({"user.email": personal}, trace_id=b"short", name=personal)).SerializeToString()
    assert _post(server.http, bad) == 200
    with closing(http.client.HTTPConnection(server.http, timeout=30)) as connection:
        connection.request("GET", f"/api/query/operations?service={personal}")
        assert connection.getresponse().status == 404
    told = server.stop()
    assert personal not in told
    lines = [json.loads(line) for line in told.splitlines()]
    assert [line["event"] for line in lines if line["event"] not in {"loading_loops", "refused", "protection"}] == [
        "started", "keeps", "ready", "stopping", "stopped",
    ]  # fmt: skip
    refused = [line for line in lines if line["event"] == "refused"]
    assert sum(line["count"] for line in refused if line["reason"] == "malformed") == 30
    assert len([line for line in refused if line["reason"] == "malformed"]) == 2
    assert {line["what"] for line in refused} == {"requests", "spans"}
    assert all(line["time"].endswith("Z") for line in lines)


@pytest.mark.parametrize("way", ["option", "environment", "settings"])
def test_a_change_of_the_verdict_is_logged(serving: Callable[..., Serving], tmp_path: Path, way: str) -> None:
    """A server that judges by itself says so, and writes a line that an alert may wait for; a stop is clean."""
    toml = tmp_path / "traceguard.toml"
    toml.write_text('judge_every = "1s"\n' if way == "settings" else "", encoding="utf-8")
    options = {"option": ("--judge-every", "1s")}.get(way, ())
    environ = {"TRACEGUARD_JUDGE_EVERY": "1s"} if way == "environment" else {}
    server = serving(*options, TRACEGUARD_LOG_FORMAT="json", TRACEGUARD_CONFIG=str(toml), **environ)
    assert _post(server.http, _body(name="/users/ann@example.com")) == 200

    def judged() -> bool:
        with closing(http.client.HTTPConnection(server.http, timeout=30)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return re.search(r'^traceguard_verdict\{verdict="\w+"\} 1$', text, re.MULTILINE) is not None

    _until(judged, 60)
    told = server.stop()
    lines = {line["event"]: line for line in map(json.loads, told.splitlines())}
    assert lines["judges"]["seconds"] == 1
    assert lines["judged"]["before"] is None
    assert lines["judged"]["verdict"] in {"no_regression", "inconclusive", "no_data"}
    assert "ann@example.com" not in told


def test_an_interval_that_is_none_is_refused(tmp_path: Path) -> None:
    """Judging without a pause is refused before anything is made."""
    command = [sys.executable, "-m", "traceguard", "serve", "--db", tmp_path / "live.duckdb", "--judge-every", "0s"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr == "Error: Judging every '0s' is too often; write an interval of a second or more, such as 10m.\n"
    assert list(tmp_path.iterdir()) == []


def test_a_misspelt_log_option_is_refused(tmp_path: Path) -> None:
    """The sentence names the choices, and nothing is opened."""
    ran = subprocess.run(
        [sys.executable, "-m", "traceguard", "serve", "--db", tmp_path / "a.duckdb", "--log-format", "xml"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (ran.returncode, ran.stdout) == (2, "")
    assert ran.stderr == "Error: 'xml' is not a log format; choose one of text, json.\n"
    assert list(tmp_path.iterdir()) == []


def test_failed_and_recovered_commits_are_told(serving: Callable[..., Serving]) -> None:
    """A full disk is one warning, and what follows once there is room again is one line."""
    resource = pytest.importorskip("resource", reason="limits of a process are a matter of Unix")
    if not hasattr(resource, "prlimit"):
        pytest.skip("limits of another process are a matter of Linux")
    server = serving("--log-format", "json")
    assert _post(server.http, _body(1)) == 200
    _, hard = resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (300_000, hard))
    large = os.urandom(400_000).hex()
    for number in range(2, 5):
        assert _post(server.http, _body(number, attributes={"padding": large})) == 503
    resource.prlimit(server.process.pid, resource.RLIMIT_FSIZE, (hard, hard))
    assert _post(server.http, _body(9)) == 200
    lines = [json.loads(line) for line in server.stop().splitlines()]
    events = [line["event"] for line in lines]
    assert events.count("commit_failed") == events.count("commits_recovered") == 1
    assert next(line["requests"] for line in lines if line["event"] == "commits_recovered") == 3


def test_a_running_question_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    """Who asked for a long report is told that the server stops, and the server is gone soon after."""
    recording = tmp_path / "live.duckdb"
    with Server(recording, _ANY, _ANY) as server:
        live = Live.of(server, recording)
        for number in range(1, 60):
            spans = [make_span(trace_id=(number * 10_000 + n).to_bytes(16)) for n in range(2_000)]
            live.http("POST", "/v1/traces", trace_request(*spans, resource={"service.name": "shop"})
                      .SerializeToString(), Content_Type=PROTOBUF)  # fmt: skip
        answers: list[tuple[int, bytes]] = []

        def ask() -> None:
            answer = live.http("GET", "/api/report")
            answers.append((answer.status, answer.content))

        asking = [threading.Thread(target=ask) for _ in range(3)]
        for thread in asking:
            thread.start()
        _until(lambda: live.metric("traceguard_questions_running") == 2)
        began = time.monotonic()
        server.stop()
        assert time.monotonic() - began < 8
        for thread in asking:
            thread.join(10)
    assert {status for status, _ in answers} <= {200, 503}
    assert any(b"stopping" in content for status, content in answers if status == 503)


def test_who_goes_away_is_dropped_without_a_word(serving: Callable[..., Serving], shop: Path, tmp_path: Path) -> None:
    """A client that leaves amid its question is counted, and neither it nor the stop leaves a complaint in the log."""
    shutil.copy(shop, tmp_path / "live.duckdb")
    server = serving("--log-format", "json")

    def metric(name: str) -> float:
        with closing(http.client.HTTPConnection(server.http, timeout=30)) as connection:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        return float(re.findall(rf"^{name} (\S+)$", text, re.MULTILINE)[0])

    for _ in range(8):
        with closing(http.client.HTTPConnection(server.http, timeout=30)) as connection:
            connection.request("GET", "/api/report?format=html")
    _until(lambda: metric("traceguard_questions_dropped_total") >= 6)
    _until(lambda: metric("traceguard_questions_running") == 0)
    told = server.stop()
    assert {json.loads(line)["event"] for line in told.splitlines()} <= {
        "loading_loops", "started", "keeps", "ready", "protection", "stopping", "stopped", "slow_question",
    }  # fmt: skip


def test_grpc_refusals_have_their_status(traced: Callable[..., Live], collector: Collector) -> None:
    """A span of a refused call carries gRPC's status by name; only the server's own faults are errors."""
    live = traced(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url)
    with pytest.raises(grpc.RpcError):
        live.grpc("traces", b"\xff")
    (refused,) = collector.named(_EXPORT)
    assert _attributes(refused)["rpc.response.status_code"] == "INVALID_ARGUMENT"
    assert refused.status.code == 0
