"""The API and the page: the command line's questions over HTTP, while spans come in."""

import http.client
import io
import json
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from traceguard import pipeline
from traceguard.model import BlastRadius, GraphDiff, Plan, Report, WhatIf
from traceguard.server import Server
from traceguard.simulate import generate, shop
from traceguard.simulate.wire import bodies
from traceguard.store import open_store, queries

Answer = tuple[int, http.client.HTTPMessage, bytes]


class Site:
    """A server and a way to GET from it."""

    def __init__(self, server: Server) -> None:
        self.server = server

    def get(self, target: str, host: str | None = None, **params: str) -> Answer:
        """GET with parameters, perhaps under another host's name."""
        connection = http.client.HTTPConnection(self.server.http_address, timeout=120)
        headers = {} if host is None else {"Host": host}
        connection.request("GET", f"{target}?{urlencode(params)}" if params else target, headers=headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, answer.headers, content

    def post(self, body: bytes) -> int:
        """Export spans."""
        connection = http.client.HTTPConnection(self.server.http_address, timeout=120)
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        status = connection.getresponse().status
        connection.close()
        return status


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """A server that has received a simulated shop with its planted regression."""
    path = tmp_path_factory.mktemp("api") / "live.duckdb"
    recording = generate(shop(), requests=1500, seed=3, start_ns=1_800_000_000 * 10**9, duration_ns=600 * 10**9)
    with Server(path, "127.0.0.1:0", "127.0.0.1:0") as server:
        found = Site(server)
        for body in bodies(recording):
            assert found.post(body) == 200
        yield found


def test_report_is_the_document_of_the_command(site: Site) -> None:
    """JSON by default, with the planted cause first; other formats by name."""
    status, headers, content = site.get("/api/report")
    document = Report.model_validate_json(content)
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert document.verdict == "regression"
    assert (document.causes[0].service, document.causes[0].factors[0].key) == ("pricing", "new-pricing")
    status, headers, content = site.get("/api/report", format="md", flag="new-pricing", alpha="0.01")
    assert (status, headers["Content-Type"]) == (200, "text/markdown; charset=utf-8")
    assert b"new-pricing" in content
    status, _, content = site.get("/api/report", live="true")
    assert (status, Report.model_validate_json(content).inference) == (200, "anytime_valid")


@pytest.mark.parametrize(
    ("route", "params", "document"),
    [
        ("blast-radius", {"service": "pricing"}, BlastRadius),
        ("blast-radius", {"flag": "new-pricing=on", "service": ""}, BlastRadius),
        ("blast-radius", {"flag": "to-come", "read-by": "cart", "time-zone": "Asia/Tokyo"}, BlastRadius),
        ("what-if", {"service": "pricing", "delay": "50ms", "error-rate": "1%", "exposure": "5%"}, WhatIf),
        ("what-if", {"service": "pricing", "error_rate": "0.01"}, WhatIf),
        ("what-if", {"service": "", "flag": "new-pricing", "exposure": "90%", "slo": "p99<1s"}, WhatIf),
        ("what-if", {"service": "pricing", "slo": "p99<1s", "largest": "delay"}, WhatIf),
        ("plan", {"flag": "new-pricing", "delay": "20ms", "step-time": "1h", "steps": "5%,50%"}, Plan),
        ("plan", {"flag": "to-come", "read-by": "cart", "delay": "20ms", "steps": "50%"}, Plan),
    ],
)
def test_other_questions_answer_with_their_documents(
    site: Site, route: str, params: dict[str, str], document: type[BlastRadius | WhatIf | Plan]
) -> None:
    """Options keep their names, with dashes or underscores; fields that a form left empty do not count."""
    status, _, content = site.get(f"/api/{route}", **params)
    assert status == 200, content
    document.model_validate_json(content)


def test_graph_and_queries(site: Site) -> None:
    """The graph in node-link form, query rows as JSON and CSV, and the list of queries."""
    nodes = {node["id"] for node in json.loads(site.get("/api/graph")[2])["nodes"]}
    assert {"frontend", "pricing"} <= nodes
    operations = {node["id"] for node in json.loads(site.get("/api/graph", level="operation")[2])["nodes"]}
    assert "pricing / ComputeQuote" in operations
    slices = json.loads(site.get("/api/graph", every="1m", sketches="true")[2])["slices"]
    assert all("sketch" in edge for each in slices for edge in each["edges"])
    middle, end = slices[len(slices) // 2]["start"], slices[-1]["end"]
    periods = {"baseline": f"{slices[0]['start']}/{middle}", "candidate": f"{middle}/{end}"}
    assert GraphDiff.model_validate_json(site.get("/api/graph", **periods)[2]).baseline.requests
    rows = json.loads(site.get("/api/query/slowest_operations", service="pricing")[2])
    assert {row["service"] for row in rows} == {"pricing"}
    _, headers, content = site.get("/api/query/flags", format="csv")
    assert headers["Content-Type"].startswith("text/csv")
    assert content.startswith(b"flag_key,variant")
    assert "entry_points" in json.loads(site.get("/api/query")[2])


def test_no_data_is_an_answer(site: Site) -> None:
    """Where the command would exit with 5 the API still answers 200 with the whole document."""
    status, _, content = site.get("/api/report", until="2001-01-01T00:00:00Z")
    assert (status, json.loads(content)["verdict"]) == (200, "no_data")


@pytest.mark.parametrize(
    ("target", "params", "status", "sentence"),
    [
        ("/api/report", {"servce": "x"}, 400, "no parameter 'servce'; it takes baseline"),
        ("/api/report", {"format": "pdf"}, 400, "choose one of text, json"),
        ("/api/report", {"since": "yesterday"}, 400, "not a time"),
        ("/api/report", {"baseline": "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"}, 400, "both periods"),
        ("/api/report", {"service": "pricng"}, 404, "did you mean pricing"),
        ("/api/blast-radius", {"flag": "to-come"}, 404, "--read-by"),
        ("/api/blast-radius", {"flag": "to-come", "read_by": "crt"}, 404, "did you mean cart"),
        ("/api/blast-radius", {"service": "cart", "time-zone": "Nowhere"}, 404, "no time zone"),
        ("/api/blast-radius", {"service": "cart", "attribute": "no.such"}, 400, "no.such"),
        ("/api/plan", {"flag": "to-come"}, 404, "--read-by"),
        ("/api/plan", {"service": "pricing", "delay": "9999999h"}, 400, "longer than a day"),
        ("/api/graph", {"level": "host"}, 400, "choose one of service, operation"),
        ("/api/graph", {"sketches": "perhaps"}, 400, "neither true nor false"),
        ("/api/graph", {"every": "5m", "format": "dot"}, 400, "choose one of text, json"),
        ("/api/graph", {"baseline": "2026-01-01T00:00:00Z/2026-01-02T00:00:00Z"}, 400, "both periods"),
        ("/api/what-if", {}, 400, "needs service or flag"),
        ("/api/what-if", {"service": "pricing", "slo": "/etc/slo.yaml"}, 400, "is not an objective"),
        ("/api/report", {"reference": "new-pricin=on"}, 404, "did you mean new-pricing"),
        ("/api/query/slow_operations", {}, 404, "slowest_operations"),
        ("/api/query/requests_of", {}, 400, "needs the parameter value"),
        ("/api/nothing", {}, 404, "nothing at /api/nothing"),
        ("/nothing", {}, 404, "nothing at /nothing"),
    ],
)
def test_refusals_are_one_sentence(site: Site, target: str, params: dict[str, str], status: int, sentence: str) -> None:
    """Usage errors are 400, unknown names 404, each with the sentence that the command line would print."""
    answered, headers, content = site.get(target, **params)
    assert (answered, headers["Content-Type"]) == (status, "application/json")
    assert sentence in json.loads(content)["error"]


def test_a_parameter_given_twice_is_refused(site: Site) -> None:
    """Nobody has to guess which of two values counted."""
    status, _, content = site.get("/api/report?flag=a&flag=b")
    assert (status, "given 2 times" in json.loads(content)["error"]) == (400, True)


def test_references_are_given_one_by_one(site: Site) -> None:
    """An option that repeats on the command line repeats in the address, too."""
    status, _, content = site.get("/api/report?reference=new-pricing=on&reference=service.version@shipping=2.4.0")
    assert status == 200
    report = Report.model_validate_json(content)
    assert report.causes == []
    assert report.improvements[0].factors[0].reference == "on"


def test_snapshot_comes_whole_and_leaves_nothing(site: Site, tmp_path: Path) -> None:
    """A running server's store is copied over HTTP; the copy opens as a store and no temporary file stays."""
    status, headers, content = site.get("/api/snapshot")
    assert (status, headers["Content-Disposition"]) == (200, 'attachment; filename="live-snapshot.duckdb"')
    (tmp_path / "copy.duckdb").write_bytes(content)
    with open_store(tmp_path / "copy.duckdb") as copy, copy.cursor() as cursor:
        assert cursor.execute("SELECT count(DISTINCT trace_id) FROM spans").fetchall() == [(1500,)]
    deadline = time.monotonic() + 10
    folder = Path(site.server._db).parent
    while list(folder.glob(".*copy-*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not list(folder.glob(".*copy-*"))


def test_the_pipeline_asks_a_server_like_a_file(site: Site, tmp_path: Path) -> None:
    """The Python functions take the server's URL and give the same results."""
    import traceguard as tg

    url = f"http://{site.server.http_address}"
    assert tg.report(url).causes[0].service == "pricing"
    assert tg.query(url, "services").height == json.loads(site.get("/api/query/totals")[2])[0]["services"]
    tg.snapshot(url, tmp_path / "copy.duckdb")
    assert (tmp_path / "copy.duckdb").stat().st_size > 0


@pytest.mark.parametrize("name", queries.names())
def test_frames_travel_with_their_types(site: Site, name: str) -> None:
    """Each query gives a server's client the very frame that the file gives, types and all, with rows and without."""
    url, file = f"http://{site.server.http_address}", Path(site.server._db)
    evaluation = pipeline.query(file, "flag_evaluations").drop_nulls("context_id").row(0, named=True)
    given: dict[str, Any] = {
        "requests_of": {"value": evaluation["context_id"]},
        "spans_of_trace": {"trace": evaluation["trace_id"]},
        "requests_by_attribute": {"key": "http.route"},
    }.get(name, {})
    here, there = (pipeline.query(store, name, **given) for store in (file, url))
    bare = {"incomplete_traces", "error_origins", "error_paths", "exceptions", "n_plus_one", "retries"}
    assert here.height or name in bare
    assert_frame_equal(there, here)
    known = {parameter.name for parameter in queries.describe(name).parameters}
    none = {"until": 1_000_000_000} if "until" in known else {"flag": "new-pricing", "variant": "-"}
    given |= {key: value for key, value in none.items() if key in known}
    here, there = (pipeline.query(store, name, **given) for store in (file, url))
    assert_frame_equal(there, here)


def test_rows_come_as_arrow_and_parquet(site: Site) -> None:
    """Any Arrow library reads the rows of a query, and any Parquet reader."""
    _, headers, content = site.get("/api/query/services", format="arrow")
    assert headers["Content-Type"] == "application/vnd.apache.arrow.stream"
    table = pa.ipc.open_stream(content).read_all()
    assert table.schema.field("service").type in {pa.string(), pa.large_string()}
    _, headers, content = site.get("/api/query/services", format="parquet")
    assert headers["Content-Type"] == "application/vnd.apache.parquet"
    assert pq.read_table(io.BytesIO(content)).column("service").to_pylist() == table.column("service").to_pylist()
    status, _, content = site.get("/api/query/services", format="feather")
    assert (status, "arrow, parquet" in json.loads(content)["error"]) == (400, True)


def test_times_may_be_numbers_for_a_server_too(site: Site) -> None:
    """Nanoseconds since the epoch select the same requests through the server as from the file."""
    url, file = f"http://{site.server.http_address}", Path(site.server._db)
    middle = 1_800_000_300 * 10**9 + 1
    here, there = (pipeline.query(store, "totals", since=middle)["spans"][0] for store in (file, url))
    assert 0 < here == there
    assert pipeline.report(url, until=middle).document.window == pipeline.report(file, until=middle).document.window


def test_pictures_travel_only_where_they_are_asked_for(site: Site) -> None:
    """What a page draws stands beside the document, and gives a client the same page as the file does."""
    url, file = f"http://{site.server.http_address}", Path(site.server._db)
    bare, drawn = (json.loads(site.get("/api/report", **more)[2]) for more in ({}, {"pictures": "true"}))
    assert "pictures" not in bare
    pictures = drawn.pop("pictures")
    assert drawn == bare
    assert [cause["rank"] for cause in pictures["causes"]] == [cause["rank"] for cause in bare["causes"][:20]]
    here, there = (pipeline.report(store, draw_map=False, draw_pictures=True) for store in (file, url))
    assert here.pictures == there.pictures
    assert here.pictures.to_dict() == pictures
    assert site.get("/api/report", pictures="perhaps")[0] == 400


def test_the_page_is_an_overview_under_a_strict_policy(site: Site) -> None:
    """The page shows entry points and the cause, runs only its own scripts and loads nothing from elsewhere."""
    status, headers, content = site.get("/")
    assert (status, headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    page = content.decode()
    assert "POST /checkout" in page
    assert "new-pricing" in page
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "'unsafe-inline'" not in policy.partition("script-src")[2].partition(";")[0]
    assert not re.search(r"<(script|img|iframe|link)[^>]+(src|href)\s*=\s*[\"']?(https?:)?//", page)


@pytest.mark.parametrize("target", ["/", "/healthz", "/metrics", "/api/query", "/api/nothing", "/v1/traces"])
def test_security_headers_are_everywhere(site: Site, target: str) -> None:
    """Every answer forbids sniffing, framing and reading by other sites."""
    _, headers, _ = site.get(target)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert "Content-Security-Policy" in headers
    assert "Access-Control-Allow-Origin" not in headers
    assert "Server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "evil.example:4318", "127.0.0.1.evil.example", ""])
def test_other_host_names_get_no_answers(site: Site, host: str) -> None:
    """A web page that points its own name at this machine cannot read the store."""
    status, _, content = site.get("/api/query/services", host=host)
    assert (status, "rows" in content.decode()) == (403, False)
    assert site.get("/healthz", host="localhost:1")[0] == site.get("/healthz", host="[::1]")[0] == 200


def test_questions_are_answered_while_spans_come_in(site: Site) -> None:
    """Exports are acknowledged during a report, and the report sees a consistent store."""
    recording = generate(shop(), requests=300, seed=9, start_ns=1_800_001_000 * 10**9, duration_ns=60 * 10**9)
    statuses: list[int] = []

    def send() -> None:
        statuses.extend(site.post(body) for body in bodies(recording, 64))

    sender = threading.Thread(target=send)
    sender.start()
    answers = [site.get("/api/report", until="2027-01-15T08:10:00Z")[0] for _ in range(2)]
    sender.join()
    assert answers == [200, 200]
    assert set(statuses) == {200}
