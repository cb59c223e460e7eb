"""What a running server keeps: by age and size under load, through kills, and nothing of whom it was told to forget."""

import contextlib
import json
import logging
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard import pipeline
from traceguard.server import Server
from traceguard.settings import Settings
from traceguard.store import open_store
from traceguard.store.format import log_of
from traceguard.store.space import on_disk

Run = Callable[..., subprocess.CompletedProcess[str]]

ANY = "127.0.0.1:0"
ID = "person-4f1c"
_HEADERS = {"Content-Type": "application/x-protobuf"}


@dataclass(frozen=True)
class Sent:
    """An acknowledged request: its number and the time of its spans, in nanoseconds."""

    number: int
    time_ns: int


def _body(number: int, time_ns: int, user: str = "somebody", requests: int = 20) -> bytes:
    """So many requests of ten spans each, with text that does not compress."""
    message = ExportTraceServiceRequest()
    scope = message.resource_spans.add().scope_spans.add()
    draw = random.Random(number)
    for request in range(requests):
        for n in range(10):
            span = scope.spans.add(
                trace_id=(1 + number).to_bytes(8) + (1 + request).to_bytes(8), span_id=(1 + n).to_bytes(8),
                name="work", start_time_unix_nano=time_ns, end_time_unix_nano=time_ns + 1,
            )  # fmt: skip
            span.attributes.add(key="user.id").value.string_value = user
            span.attributes.add(key="text").value.string_value = draw.randbytes(60).hex()
    return message.SerializeToString()


class Load:
    """Sends spans of the present as fast as the answers come, until it is stopped; notes what was acknowledged."""

    def __init__(self, http: str, first: int = 0) -> None:
        self.sent: list[Sent] = []
        self.statuses: set[int] = set()
        self._url = f"http://{http}/v1/traces"
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(first,))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self, first: int) -> None:
        with httpx.Client(trust_env=False, timeout=60) as client:
            number = first
            while not self._stop.is_set():
                now = time.time_ns()
                try:
                    answer = client.post(self._url, content=_body(number, now), headers=_HEADERS)
                except httpx.TransportError:
                    return
                self.statuses.add(answer.status_code)
                if answer.status_code == 200:
                    self.sent.append(Sent(number, now))
                number += 1


def _kept(store: Any) -> dict[int, int]:
    """Spans by the number of their request."""
    with store.cursor() as cursor:
        rows = cursor.execute("SELECT trace_id[:16], count(*) FROM distinct_spans GROUP BY 1").fetchall()
    return {int(prefix, 16) - 1: spans for prefix, spans in rows}


def _metric(server: Server, name: str) -> float:
    text = httpx.get(f"http://{server.http_address}/metrics", trust_env=False).text
    return float(re.search(rf"^traceguard_{re.escape(name)} (\S+)$", text, re.MULTILINE)[1])  # type: ignore[index]


def _until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _bytes(path: Path) -> bytes:
    return b"".join(file.read_bytes() for file in (path, log_of(path)) if file.exists())


def _post(server: Server, number: int, user: str) -> None:
    body = _body(number, time.time_ns(), user)
    url = f"http://{server.http_address}/v1/traces"
    assert httpx.post(url, content=body, headers=_HEADERS, trust_env=False, timeout=60).status_code == 200


def test_old_requests_go_under_load_and_young_ones_stay(tmp_path: Path) -> None:
    """With --keep, everything acknowledged within that time is there, what is older goes, and exports are all taken."""
    path = tmp_path / "live.duckdb"
    with Server(path, ANY, ANY, Settings(keep="4s")) as server:
        with Load(server.http_address) as load:
            _until(lambda: _metric(server, 'spans_removed_total{reason="age"}') > 0 and len(load.sent) > 50)
        counted = _metric(server, "spans_committed_total"), _metric(server, 'spans_removed_total{reason="age"}')
        now = time.time_ns()
    with open_store(path) as store:
        kept = _kept(store)
    assert load.statuses == {200}
    young = {sent.number for sent in load.sent if sent.time_ns > now - 4 * 10**9}
    assert young
    assert young <= set(kept)
    assert set(kept.values()) == {200}
    assert counted[0] == 200 * len(load.sent)
    assert 0 < counted[1] <= counted[0] - sum(kept.values()) + 200 * len(young)


def test_the_store_stays_below_its_size_and_shrinks(tmp_path: Path) -> None:
    """With --max-size the file on disk is bounded while spans keep coming; the newest are there."""
    path, limit = tmp_path / "live.duckdb", 12_000_000
    largest = 0
    with Server(path, ANY, ANY, Settings(max_size="12MB")) as server:
        with Load(server.http_address) as load:
            while _metric(server, "spans_committed_total") < 200_000:
                largest = max(largest, on_disk(path))
                time.sleep(0.05)
        _until(lambda: on_disk(path) <= limit)
        assert _metric(server, 'spans_removed_total{reason="size"}') > 0
        assert _metric(server, "retention_failures_total") == 0
        assert _metric(server, "store_bytes") <= limit
    assert load.statuses == {200}
    # What arrives during a pass comes on top; on a busy machine a pass takes a while.
    assert largest < 2.5 * limit
    with open_store(path) as store:
        kept = _kept(store)
    numbers = [sent.number for sent in load.sent]
    assert sorted(kept) == numbers[-len(kept) :]
    assert set(kept.values()) == {200}


def test_a_kill_amid_retention_loses_nothing_young(tmp_path: Path) -> None:
    """Killed again and again while requests go and files are written anew, all that was young is there, and whole."""
    path = tmp_path / "live.duckdb"
    command = [
        sys.executable, "-m", "traceguard", "serve", "--db", path, "--grpc", ANY, "--http", ANY, "--keep", "3s",
        "--max-size", "1GB",
    ]  # fmt: skip
    first = 0
    for wait in (4.3, 5.1, 6.2):
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
            assert process.stderr is not None
            http = next(match for line in process.stderr if (match := re.search(r"OTLP/HTTP on (\S+)\.", line)))[1]
            with Load(http, first) as load:
                time.sleep(wait)
                process.send_signal(signal.SIGKILL)
                killed = time.time_ns()
            process.wait()
        first += 1_000_000
        with open_store(path, mode="write") as store:
            kept = _kept(store)
        young = {sent.number for sent in load.sent if sent.time_ns > killed - 3 * 10**9}
        assert young
        assert young <= set(kept)
        assert set(kept.values()) == {200}
        assert {file.name for file in tmp_path.iterdir()} <= {path.name, log_of(path).name}


def test_forgetting_on_a_running_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A person's requests go while others are sent: from answers at once, from the bytes, never named in the log."""
    caplog.set_level(logging.DEBUG)
    path = tmp_path / "live.duckdb"
    with Server(path, ANY, ANY) as server, Load(server.http_address) as load:
        for number in range(10**6, 10**6 + 5):
            _post(server, number, ID)
        url = f"http://{server.http_address}"
        _until(lambda: len(load.sent) > 20)
        assert pipeline.forget(url, ID, rehearse=True).requests == 100
        removed = pipeline.forget(url, ID)
        assert (removed.requests, removed.spans) == (100, 1_000)
        assert ID.encode() not in _bytes(path)
        assert pipeline.forget(url, ID).requests == 0
        assert _metric(server, 'spans_removed_total{reason="forget"}') == 1_000
    assert load.statuses == {200}
    assert ID not in caplog.text
    with open_store(path) as store:
        assert set(_kept(store)) == {sent.number for sent in load.sent}
    assert ID.encode() not in _bytes(path)


def test_a_verdict_that_names_the_person_goes_too(tmp_path: Path) -> None:
    """A report about one person's requests stands in the history under their id, until they are forgotten."""
    path = tmp_path / "live.duckdb"
    with Server(path, ANY, ANY) as server:
        url = f"http://{server.http_address}"
        for number in range(4):
            _post(server, number, (ID, "somebody")[number % 2])
        asked = {"where": f"user.id={ID}", "format": "json"}
        for params in (asked, {"format": "json"}):
            assert httpx.get(f"{url}/api/report", params=params, trust_env=False, timeout=60).status_code == 200
        assert ID in httpx.get(f"{url}/history", trust_env=False).text
        assert pipeline.forget(url, ID).requests == 40
        assert ID.encode() not in _bytes(path)
        assert pipeline.query(url, "verdicts")["address"].to_list() == ["/api/report?format=json"]
    assert ID.encode() not in _bytes(path)


def test_an_id_that_was_hashed_at_the_door_is_forgotten_by_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who was hashed on the way in is found by the id that people know."""
    monkeypatch.setenv("TRACEGUARD_HASH_KEY", "0123456789abcdef0123456789abcdef")
    with Server(tmp_path / "live.duckdb", ANY, ANY, Settings(hash_attributes=("user.id",))) as server:
        _post(server, 1, ID)
        _post(server, 2, "somebody")
        assert ID.encode() not in _bytes(tmp_path / "live.duckdb")
        removed = pipeline.forget(f"http://{server.http_address}", ID, key="user.id")
        assert (removed.requests, removed.spans) == (20, 200)
    with open_store(tmp_path / "live.duckdb") as store:
        assert set(_kept(store)) == {2}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server that keeps everything."""
    with Server(tmp_path_factory.mktemp("keep") / "live.duckdb", ANY, ANY) as running:
        yield running


@pytest.mark.parametrize(
    "body",
    [b"", b"nonsense", b"[]", b'{"key": "user.id"}', b'{"unit": 7}', b'{"unit": ""}', b'{"unit": "a", "other": "b"}',
     b'{"unit": "a", "key": 1}', b'{"unit": "a", "dry_run": "no"}', b'{"unit": "' + b"a" * 70_000 + b'"}', b"\xff",
     b"[" * 60_000],
)  # fmt: skip
def test_a_bad_demand_to_forget_is_refused_in_words(server: Server, body: bytes) -> None:
    """What is no JSON object with an id is 400 and one sentence, which does not repeat what was sent."""
    answer = httpx.post(f"http://{server.http_address}/api/forget", content=body, trust_env=False)
    assert answer.status_code == 400
    assert answer.json()["error"].endswith(".")
    assert "other" not in answer.text


def test_forgetting_is_not_for_getting(server: Server) -> None:
    """Whoever follows a link forgets nobody."""
    answer = httpx.get(f"http://{server.http_address}/api/forget?unit={ID}", trust_env=False)
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "POST"
    assert ID not in answer.text


def test_forget_ends_with_5_where_nobody_is_known(run: Run, server: Server) -> None:
    """The complete document comes with exit code 5 when no request carries the id."""
    done = run("forget", "--unit", ID, "--db", f"http://{server.http_address}", "--format", "json")
    assert done.returncode == 5, done.stderr
    assert json.loads(done.stdout)["requests"] == 0
    assert ID not in done.stdout + done.stderr


@pytest.fixture
def store_of_two(tmp_path: Path, sample_data: Path, run: Run) -> Path:
    """The sample recording, in a store of its own."""
    path = tmp_path / "shop.duckdb"
    assert run("ingest", sample_data, "--db", path).returncode == 0
    return path


def test_forget_on_a_file(run: Run, store_of_two: Path) -> None:
    """The command says what would go, what went, and that copies still hold it; the id may come on standard input."""
    with open_store(store_of_two) as store, store.cursor() as cursor:
        ((person, requests),) = cursor.execute(
            "SELECT value, count(DISTINCT trace_id) FROM correlations WHERE key = 'user.id' GROUP BY 1"
            " ORDER BY 2 DESC, 1 LIMIT 1"
        ).fetchall()
    said = run("forget", "--unit", "-", "--db", store_of_two, "--dry-run", stdin=f"{person}\n")
    assert said.returncode == 0, said.stderr
    assert said.stdout.startswith(f"Would forget {requests} requests: ")
    assert person.encode() in _bytes(store_of_two)
    done = run("forget", "--unit", "-", "--db", store_of_two, "--format", "json", stdin=f"{person}\n")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["requests"] == requests
    assert told["spans"] > requests
    assert told["warnings"][0]["code"] == "copies"
    assert "Snapshots and backups made before still hold" in done.stderr
    assert person.encode() not in _bytes(store_of_two)
    assert person not in done.stdout + done.stderr
    assert run("report", "--db", store_of_two).returncode == 0


def test_prune_on_a_file(run: Run, store_of_two: Path, tmp_path: Path) -> None:
    """What is older than --keep goes from a file, settings and environment say the same, and the file shrinks."""
    before = on_disk(store_of_two)
    kept = run("prune", "--keep", "10000d", "--db", store_of_two, "--format", "json")
    assert kept.returncode == 0, kept.stderr
    assert json.loads(kept.stdout)["age"] == {"requests": 0, "spans": 0, "logs": 0}
    (tmp_path / "traceguard.toml").write_text('keep = "1h"\n', encoding="utf-8")
    again = run("prune", "--db", store_of_two, "--format", "json", cwd=tmp_path, env={"TRACEGUARD_KEEP": "10000d"})
    assert json.loads(again.stdout)["age"]["requests"] == 0
    done = run("prune", "--db", store_of_two, "--format", "json", cwd=tmp_path)
    told = json.loads(done.stdout)
    assert told["age"]["requests"] > 0
    assert told["bytes"] == on_disk(store_of_two) < before
    assert run("report", "--db", store_of_two).returncode == 5


@pytest.mark.parametrize(
    "options", [[], ["--keep", "0s"], ["--keep", "week"], ["--max-size", "1MB"], ["--max-size", "50"]]
)
def test_prune_refuses_what_it_cannot_mean(run: Run, shop: Path, options: list[str]) -> None:
    """Nothing said, or nothing to be kept, is one sentence and exit code 2."""
    done = run("prune", "--db", shop, *options)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("Error: ")


@pytest.mark.parametrize("command", [["prune", "--keep", "1d"], ["forget", "--unit", "x"]])
def test_what_does_not_exist_is_not_made(run: Run, tmp_path: Path, command: list[str]) -> None:
    """Removing from a store that is missing is refused and makes no file."""
    done = run(*command, "--db", tmp_path / "missing.duckdb")
    assert done.returncode == 2
    assert "There is no store at" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "environment", "sentence"),
    [
        ([], {}, "Keeps everything."),
        (["--keep", "7d", "--max-size", "50GB"], {}, "Keeps 7 days, at most 50 GB."),
        ([], {"TRACEGUARD_KEEP": "36h"}, "Keeps 36 hours."),
    ],
)
def test_a_server_says_what_it_keeps(
    tmp_path: Path, options: list[str], environment: dict[str, str], sentence: str
) -> None:
    """The rules stand among the first lines, whichever way they came."""
    command = [sys.executable, "-m", "traceguard", "serve", "--db", "live.duckdb", "--grpc", ANY, "--http", ANY]
    process = subprocess.Popen(
        [*command, *options], cwd=tmp_path, env=os.environ | environment, stderr=subprocess.PIPE, text=True
    )
    with process, contextlib.closing(process.stderr) as lines:  # type: ignore[type-var]
        assert lines is not None
        try:
            seen = [line.strip() for line, _ in zip(lines, range(3), strict=False)]
        finally:
            process.terminate()
            lines.read()
    assert process.returncode == 0
    assert sentence in seen
