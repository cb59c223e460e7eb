"""Who is let in over the network: every role on every route and protocol, browsers and other sites, TLS, clients."""

import base64
import http.client
import http.server
import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from builders.certificates import Authority, Pair
from google.rpc.status_pb2 import Status

from traceguard.server import Access, Server, Tls
from traceguard.store import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]

ANY = "127.0.0.1:0"
WRITE, READ, ADMIN = "writers-0123456789", "readers-0123456789", "admins-0123456789"
UNKNOWN = "unknown-0123456789"
TOKENS = {"write": WRITE, "read": READ, "admin": ADMIN}
TRACES = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"
ROUTES = {
    "write": [
        ("POST", "/v1/traces"), ("POST", "/v1/logs"), ("POST", "/v1/metrics"), ("POST", "/v1/nothing"),
        ("GET", "/v1/traces"),
    ],
    "read": [
        ("GET", "/"), ("GET", "/metrics"), ("GET", "/api/report"), ("GET", "/api/graph"), ("GET", "/api/query"),
        ("GET", "/api/query/services"), ("GET", "/api/snapshot"), ("HEAD", "/api/query"), ("GET", "/nothing"),
        ("GET", "/api/what-if"), ("GET", "/api/blast-radius"), ("GET", "//v1/traces"), ("OPTIONS", "/api/query"),
    ],
    "admin": [
        ("POST", "/api/forget"), ("POST", "/api/report"), ("DELETE", "/api/query"), ("PUT", "/"), ("POST", "/healthz"),
        ("POST", "/v1"),
    ],
}  # fmt: skip


def _bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def _basic(password: str, name: str = "anyone") -> dict[str, str]:
    return {"Authorization": f"Basic {base64.b64encode(f'{name}:{password}'.encode()).decode()}"}


def _ask(server: Server, method: str, target: str, **options: Any) -> httpx.Response:
    return httpx.request(method, f"http://{server.http_address}{target}", timeout=60, trust_env=False, **options)


def _call(server: Server, body: bytes = b"", credentials: Any = None, **options: Any) -> grpc.StatusCode:
    """The status of an export over gRPC."""
    unlimited = [("grpc.max_send_message_length", -1)]
    channel = (
        grpc.insecure_channel(server.grpc_address, options=unlimited)
        if credentials is None
        else grpc.secure_channel(server.grpc_address, credentials, options=unlimited)
    )
    with channel:
        try:
            channel.unary_unary(TRACES)(body, timeout=20, **options)
        except grpc.RpcError as error:
            return error.code()
        return grpc.StatusCode.OK


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a token for each role."""
    path = tmp_path_factory.mktemp("guarded") / "live.duckdb"
    with Server(path, ANY, ANY, access=Access.of(**TOKENS)) as server:
        yield server


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server as people start it on their own machine, without tokens."""
    with Server(tmp_path_factory.mktemp("local") / "live.duckdb", ANY, ANY) as server:
        yield server


@pytest.mark.parametrize(
    ("role", "method", "target"), [(role, *route) for role, routes in ROUTES.items() for route in routes]
)
def test_every_route_takes_its_role(guarded: Server, role: str, method: str, target: str) -> None:
    """Without a token or with an unknown one 401, with another role's 403, else whatever the route itself answers."""
    for token in (None, UNKNOWN, READ[:-1], READ.upper()):
        headers = {} if token is None else _bearer(token)
        answer = _ask(guarded, method, target, headers=headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Bearer realm="traceguard"')
    for given, token in TOKENS.items():
        answer = _ask(guarded, method, target, headers=_bearer(token))
        may = given in {role, "admin"}
        assert (answer.status_code in {401, 403}) != may, (given, answer.text)
        assert may or answer.status_code == 403


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("target", ["/healthz", "/readyz"])
def test_health_is_open(guarded: Server, method: str, target: str) -> None:
    """Whoever looks after the process needs no token."""
    assert _ask(guarded, method, target).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": READ}, 401),
        ({"Authorization": f"bearer  {READ}"}, 200),
        ({"Authorization": f"Token {READ}"}, 401),
        ([("Authorization", f"Bearer {READ}"), ("Authorization", f"Bearer {ADMIN}")], 401),
        ({"Cookie": f"token={READ}"}, 401),
    ],
)
def test_a_token_comes_in_one_header(guarded: Server, headers: Any, status: int) -> None:
    """The scheme's case does not matter; two headers or another place count as none."""
    assert _ask(guarded, "GET", "/api/query", headers=headers).status_code == status
    assert _ask(guarded, "GET", f"/api/query?token={READ}&access_token={READ}").status_code == 401


def test_the_path_is_what_is_routed(guarded: Server) -> None:
    """A Host header that looks like a path does not turn a question into an export."""
    for host in ("x/v1/", "127.0.0.1/healthz?", "x/healthz#"):
        assert _ask(guarded, "GET", "/api/query", headers={"Host": host, **_bearer(WRITE)}).status_code == 403
        assert _ask(guarded, "GET", "/api/query", headers={"Host": host}).status_code == 401
    assert _ask(guarded, "GET", "/v1/../api/query", headers=_bearer(WRITE)).status_code in {403, 404}
    assert _ask(guarded, "GET", "/v1%2F..%2Fapi/query", headers=_bearer(WRITE)).status_code == 404


@pytest.mark.parametrize(("token", "status", "code"), [(None, 401, 16), (UNKNOWN, 401, 16), (READ, 403, 7)])
def test_refused_exports_are_told_in_the_protocols_words(
    guarded: Server, token: str | None, status: int, code: int
) -> None:
    """A google.rpc.Status in the request's encoding; questions get the API's `error`; headers stay strict."""
    headers = {} if token is None else _bearer(token)
    answer = _ask(guarded, "POST", "/v1/traces", headers={"Content-Type": "application/x-protobuf", **headers})
    assert (answer.status_code, Status.FromString(answer.content).code) == (status, code)
    answer = _ask(guarded, "POST", "/v1/logs", headers={"Content-Type": "application/json", **headers})
    assert (answer.status_code, answer.json()["code"], bool(answer.json()["message"])) == (status, code, True)
    answer = _ask(guarded, "POST", "/api/forget", headers=headers)
    assert (answer.status_code, "administer" in answer.json()["error"]) == (status, token != UNKNOWN)
    assert answer.headers["X-Frame-Options"] == "DENY"


def test_refused_exports_are_counted(guarded: Server) -> None:
    """Someone who tries tokens shows in /metrics, by reason, over both protocols."""

    def counts() -> dict[str, float]:
        text = _ask(guarded, "GET", "/metrics", headers=_bearer(READ)).text
        found = re.findall(r'traceguard_requests_refused_total\{[^}]*reason="(\w+)"[^}]*\} (\S+)', text)
        return {reason: float(value) for reason, value in found}

    before = counts()
    _ask(guarded, "POST", "/v1/traces")
    _call(guarded)
    _ask(guarded, "POST", "/v1/traces", headers=_bearer(READ))
    after = counts()
    assert after["unauthenticated"] - before.get("unauthenticated", 0) == 2
    assert after["forbidden"] - before.get("forbidden", 0) == 1


@pytest.mark.parametrize(
    ("token", "code"),
    [
        (None, "UNAUTHENTICATED"), (UNKNOWN, "UNAUTHENTICATED"), (READ, "PERMISSION_DENIED"),
        (WRITE, "OK"), (ADMIN, "OK"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("signal", ["trace.v1.Trace", "logs.v1.Logs", "metrics.v1.Metrics"])
def test_grpc_takes_tokens_to_write(guarded: Server, signal: str, token: str | None, code: str) -> None:
    """The same tokens as metadata, for all three services, with a Status in the details."""
    method = f"/opentelemetry.proto.collector.{signal}Service/Export"
    metadata = [] if token is None else [("authorization", f"Bearer {token}")]
    with grpc.insecure_channel(guarded.grpc_address) as channel:
        export = channel.unary_unary(method)
        if code == "OK":
            assert export(b"", timeout=20, metadata=metadata) == b""
            return
        with pytest.raises(grpc.RpcError) as caught:
            export(b"", timeout=20, metadata=metadata)
    told = Status.FromString(dict(caught.value.trailing_metadata())["grpc-status-details-bin"])
    found = caught.value.code()
    assert (found.name, told.code, told.message) == (code, found.value[0], caught.value.details())


def test_tokens_are_checked_before_the_body_is_read(guarded: Server) -> None:
    """The answer comes before the body is sent; what is sent nevertheless is thrown away, and the client sees why."""
    host, port = guarded.http_address.split(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(b"POST /v1/traces HTTP/1.1\r\nHost: x\r\nContent-Length: 50000000\r\n\r\n")
        assert connection.recv(20).startswith(b"HTTP/1.1 401")
    large = bytes(65 * 2**20)
    assert _ask(guarded, "POST", "/v1/traces", content=large).status_code == 401
    assert _call(guarded, large) is grpc.StatusCode.UNAUTHENTICATED
    packed = _call(guarded, large, compression=grpc.Compression.Gzip, metadata=[("authorization", f"Bearer {READ}")])
    assert packed is grpc.StatusCode.PERMISSION_DENIED


def test_a_browser_asks_for_the_token_as_a_password(guarded: Server) -> None:
    """The page makes a browser ask; any name will do, and who typed a token of another role is asked again."""
    html = {"Accept": "text/html,application/xhtml+xml"}
    for headers in ({}, _basic(UNKNOWN), _basic(WRITE), {"Authorization": "Basic ???"}, _basic("")):
        answer = _ask(guarded, "GET", "/", headers=html | headers)
        assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, 'Basic realm="traceguard"')
        assert "the token is the password" in answer.text
    for password, name in ((READ, "anyone"), (ADMIN, ""), (READ, "käthe")):
        answer = _ask(guarded, "GET", "/", headers=html | _basic(password, name))
        assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
        assert _ask(guarded, "GET", "/api/query", headers=_basic(password, name)).status_code == 200
    assert _ask(guarded, "POST", "/v1/traces", headers=_basic(WRITE)).status_code == 401


SITES = [
    ({"Origin": "https://evil.example"}, False),
    ({"Origin": "null"}, False),
    ({"Origin": "http://{own}.evil.example"}, False),
    ({"Origin": "http://[", "Host": "{own}"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Origin": "http://{own}"}, False),
    ({"Sec-Fetch-Site": "same-site"}, False),
    ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, False),
    ({"Origin": "http://{own}"}, True),
    ({"Sec-Fetch-Site": "same-origin", "Origin": "https://a-proxy.example"}, True),
    ({}, True),
]


@pytest.mark.parametrize(("headers", "passes"), SITES)
@pytest.mark.parametrize("protected", [True, False])
def test_other_sites_change_nothing(
    guarded: Server, local: Server, protected: bool, headers: dict[str, str], passes: bool
) -> None:
    """A browser sends its password, or needs none, also for a form on another site: such requests are refused."""
    server = guarded if protected else local
    sent = {name: value.format(own=server.http_address) for name, value in headers.items()}
    answer = _ask(server, "POST", "/api/nothing", headers=sent | (_basic(ADMIN) if protected else {}))
    assert answer.status_code == (404 if passes else 403), answer.text


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "none", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}, 200),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "iframe"}, 403),
        ({"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Dest": "image"}, 403),
        ({"Origin": "https://evil.example"}, 403),
    ],
)
def test_other_sites_may_only_link_here(guarded: Server, headers: dict[str, str], status: int) -> None:
    """A followed link opens the page; what is embedded elsewhere or read by scripts of another site is refused."""
    assert _ask(guarded, "GET", "/api/query", headers=headers | _basic(READ)).status_code == status


@pytest.mark.parametrize("target", ["/api/report", "/v1/traces", "/", "/healthz"])
@pytest.mark.parametrize("protected", [True, False])
def test_there_is_no_cors(guarded: Server, local: Server, protected: bool, target: str) -> None:
    """No answer allows another origin anything, and a preflight is refused."""
    server = guarded if protected else local
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    preflight = _ask(server, "OPTIONS", target, headers=asked)
    assert preflight.status_code in {401, 403, 405}
    for answer in (preflight, _ask(server, "GET", target, headers={"Origin": "https://app.example"} | _bearer(ADMIN))):
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_a_page_that_takes_this_machines_name_cannot_export(guarded: Server, local: Server) -> None:
    """Without tokens a page under a name that points here could write as its own site; exporters have no origin."""
    sent = {"Host": "evil.example", "Content-Type": "application/x-protobuf"}
    assert _ask(local, "POST", "/v1/traces", headers=sent).status_code == 200
    for origin in ("http://evil.example", "null", "http://["):
        assert _ask(local, "POST", "/v1/traces", headers=sent | {"Origin": origin}).status_code == 403
    assert _ask(local, "POST", "/v1/traces", headers=sent | {"Origin": "http://localhost:3000"}).status_code == 200
    behind = sent | {"Origin": "https://app.example"} | _bearer(WRITE)
    assert _ask(guarded, "POST", "/v1/traces", headers=behind).status_code == 200


def test_a_protected_server_answers_to_any_name(guarded: Server, local: Server) -> None:
    """Where tokens protect, the server may be asked under the name that others know it by."""
    host = {"Host": "traces.example"}
    assert _ask(guarded, "GET", "/api/query", headers=host | _bearer(READ)).status_code == 200
    assert _ask(local, "GET", "/api/query", headers=host).status_code == 403


def test_administering_takes_a_token_where_strangers_may_come(tmp_path: Path, local: Server) -> None:
    """On this machine everyone administers; with --insecure everyone writes and reads, but changes nothing."""
    assert _ask(local, "POST", "/api/nothing").status_code == 404
    with Server(tmp_path / "live.duckdb", ANY, ANY, insecure=True) as server:
        assert _ask(server, "GET", "/api/query", headers={"Host": "traces.example"}).status_code == 200
        answer = _ask(server, "POST", "/api/nothing")
        assert (answer.status_code, "TRACEGUARD_ADMIN_TOKEN" in answer.json()["error"]) == (403, True)


# TLS


@dataclass(frozen=True, slots=True)
class Secured:
    """A server with TLS, perhaps one that asks for client certificates, and its authority."""

    server: Server
    path: Path
    authority: Authority
    client: Pair

    def context(self, *, shown: Pair | None = None) -> ssl.SSLContext:
        """A client's side of TLS."""
        context = ssl.create_default_context(cafile=self.authority.certificate)
        if shown is not None:
            context.load_cert_chain(shown.certificate, shown.key)
        return context

    def ask(self, method: str, target: str, *, shown: Pair | None = None, **headers: str) -> httpx.Response:
        """A request over TLS."""
        with httpx.Client(verify=self.context(shown=shown), trust_env=False, timeout=60) as client:
            return client.request(method, f"{self.server.url}{target}", headers=headers)

    def count(self, service: str) -> int:
        """Distinct spans of a service in the store."""
        with open_store(self.path) as store, store.cursor() as cursor:
            found = cursor.execute("SELECT count(*) FROM distinct_spans WHERE service = ?", [service]).fetchall()
            return int(found[0][0])


def _secured(folder: Path, *, mutual: bool, **tokens: str) -> Iterator[Secured]:
    authority = Authority(folder)
    pair, client = authority.sign("server"), authority.sign("client", client=True)
    tls = Tls(pair.certificate, pair.key, authority.certificate if mutual else None)
    path = folder / "live.duckdb"
    with Server(path, ANY, ANY, access=Access.of(**tokens, tls=tls)) as server:
        yield Secured(server, path, authority, client)


@pytest.fixture(scope="module")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A server with TLS and tokens."""
    yield from _secured(tmp_path_factory.mktemp("secured"), mutual=False, **TOKENS)


@pytest.fixture(scope="module")
def mutual(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A server with TLS that wants client certificates, without tokens."""
    yield from _secured(tmp_path_factory.mktemp("mutual"), mutual=True)


def _export(
    protocol: str, secured: Secured, service: str, *, shown: Pair | None = None, token: str | None = None
) -> bool:
    """Send one span with the real SDK; whether its exporter was told that it arrived."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult

    ca = secured.authority.certificate
    headers = {} if token is None else {"authorization": f"Bearer {token}"}
    exporter: Any
    if protocol == "grpc":
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter

        pair = (None, None) if shown is None else (shown.key.read_bytes(), shown.certificate.read_bytes())
        credentials = grpc.ssl_channel_credentials(ca.read_bytes(), *pair)
        endpoint = f"https://{secured.server.grpc_address}"
        exporter = GrpcExporter(endpoint, credentials=credentials, headers=headers, timeout=2)
    else:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter

        files = {} if shown is None else {
            "client_certificate_file": str(shown.certificate), "client_key_file": str(shown.key),
        }  # fmt: skip
        exporter = HttpExporter(
            f"{secured.server.url}/v1/traces", certificate_file=str(ca), headers=headers, timeout=2, **files
        )
    results = []
    send = exporter.export
    exporter.export = lambda spans: results.append(send(spans)) or results[-1]
    provider = TracerProvider(resource=Resource({"service.name": service}))
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provider.get_tracer("test").start_as_current_span("GET /"):
        pass
    provider.shutdown()
    assert len(results) == 1
    return results == [SpanExportResult.SUCCESS]


@pytest.fixture
def _own_trust(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter over HTTP lets these variables win over the file that it was given."""
    for variable in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(variable, raising=False)


@pytest.mark.usefixtures("_own_trust")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_sdks_export_over_tls_with_a_token(secured: Secured, protocol: str) -> None:
    """The real exporters trust the authority and send the token; without the right one nothing is kept."""
    assert _export(protocol, secured, f"tls-{protocol}", token=WRITE)
    assert not _export(protocol, secured, f"tls-{protocol}", token=READ)
    assert not _export(protocol, secured, f"tls-{protocol}")
    assert secured.count(f"tls-{protocol}") == 1


@pytest.mark.usefixtures("_own_trust")
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_sdks_export_with_a_certificate(mutual: Secured, tmp_path: Path, protocol: str) -> None:
    """With a client authority, only those whom it signed get in; others fail in the handshake."""
    stranger = Authority(tmp_path, "stranger").sign("client", client=True)
    assert _export(protocol, mutual, f"mutual-{protocol}", shown=mutual.client)
    assert not _export(protocol, mutual, f"mutual-{protocol}", shown=stranger)
    assert not _export(protocol, mutual, f"mutual-{protocol}")
    assert mutual.count(f"mutual-{protocol}") == 1


def test_questions_over_tls(secured: Secured, mutual: Secured, tmp_path: Path) -> None:
    """Tokens work the same inside TLS; client certificates stand before every route, the health checks too."""
    assert secured.ask("GET", "/healthz").status_code == 200
    assert secured.ask("GET", "/api/query").status_code == 401
    assert secured.ask("GET", "/api/query", **_bearer(READ)).status_code == 200
    assert mutual.ask("GET", "/api/query", shown=mutual.client).status_code == 200
    stranger = Authority(tmp_path, "stranger").sign("client", client=True)
    for shown in (None, stranger):
        with pytest.raises(httpx.TransportError):
            mutual.ask("GET", "/healthz", shown=shown)


def test_the_page_of_an_empty_store_names_secure_ports(tmp_path: Path) -> None:
    """Newcomers are told to send over TLS where the ports speak it."""
    for secured in _secured(tmp_path, mutual=False):
        page = secured.ask("GET", "/").text
        assert f"https://{secured.server.grpc_address}" in page
        assert f"https://{secured.server.http_address}" in page


@pytest.mark.parametrize("port", ["http", "grpc"])
def test_a_port_with_tls_takes_nothing_plain(secured: Secured, port: str, capfd: pytest.CaptureFixture[str]) -> None:
    """Plain requests get no answer of HTTP, old versions of TLS no session; the server goes on in silence."""
    address = secured.server.http_address if port == "http" else secured.server.grpc_address
    host, number = address.split(":")
    with socket.create_connection((host, int(number)), timeout=20) as connection:
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = b""
        try:
            while piece := connection.recv(1024):
                answer += piece
        except ConnectionResetError:
            answer += b""
    assert b"HTTP" not in answer
    if port == "grpc":
        assert _call(secured.server) is grpc.StatusCode.UNAVAILABLE
    assert secured.ask("GET", "/healthz").status_code == 200
    assert "Traceback" not in capfd.readouterr().err


# The command line as a client


ASKING = {
    "report": ["report"],
    "graph": ["graph"],
    "query": ["query", "services"],
    "blast-radius": ["blast-radius", "--flag", "new-pricing"],
    "what-if": ["what-if", "--service", "pricing", "--delay", "1ms"],
    "snapshot": ["snapshot", "copy.duckdb"],
}


@pytest.mark.parametrize("arguments", ASKING.values(), ids=ASKING)
def test_commands_say_who_asks(run: Run, guarded: Server, tmp_path: Path, arguments: list[str]) -> None:
    """The token comes from the environment; what is refused for want of one is one sentence and exit code 2."""
    url = guarded.url
    for token, sentence in (
        (None, f"The server at {url} wants a token; put one that may do this into TRACEGUARD_TOKEN."),
        (UNKNOWN, f"The server at {url} does not know the token; put one that may do this"),
        (WRITE, "This token may write; use one that may read."),
        ("two\nlines", "What stands in TRACEGUARD_TOKEN is not a token"),
    ):
        done = run(*arguments, "--db", url, cwd=tmp_path, env={} if token is None else {"TRACEGUARD_TOKEN": token})
        assert (done.returncode, done.stdout) == (2, "")
        assert sentence in done.stderr
        assert token is None or token not in done.stderr
        assert not list(tmp_path.iterdir())
    done = run(*arguments, "--db", url, cwd=tmp_path, env={"TRACEGUARD_TOKEN": f" {READ}\n"})
    assert "token" not in done.stderr
    # The store is empty: a known question without an answer, or an unknown name.
    assert done.returncode in ({0} if arguments[0] == "snapshot" else {5, 2}), done.stderr


def test_commands_over_tls(run: Run, secured: Secured, mutual: Secured) -> None:
    """Whom to trust and what to show comes from the environment, and what fails says which of it is missing."""
    ca = {"TRACEGUARD_CA_FILE": str(mutual.authority.certificate)}
    shown = {"TRACEGUARD_CLIENT_CERT": str(mutual.client.certificate), "TRACEGUARD_CLIENT_KEY": str(mutual.client.key)}
    done = run("query", "totals", "--db", mutual.server.url, "--format", "json", env=ca | shown)
    assert json.loads(done.stdout)[0]["spans"] >= 0, done.stderr
    own = {"SSL_CERT_FILE": str(secured.authority.certificate), "TRACEGUARD_TOKEN": READ}
    assert json.loads(run("query", "totals", "--db", secured.server.url, "--format", "json", env=own).stdout)
    for env, sentence in (
        (shown, "name the authority that signed it in TRACEGUARD_CA_FILE"),
        (ca, "it may want a certificate of yours in TRACEGUARD_CLIENT_CERT"),
        (ca | {"TRACEGUARD_CLIENT_KEY": shown["TRACEGUARD_CLIENT_KEY"]}, "name the client's certificate, too"),
        (ca | {"TRACEGUARD_CLIENT_CERT": "absent.pem"}, "The certificate absent.pem cannot be read"),
        ({"TRACEGUARD_CA_FILE": "absent.pem"}, "The authority's certificate absent.pem cannot be read"),
    ):
        done = run("query", "totals", "--db", mutual.server.url, env=env)
        assert (done.returncode, done.stdout, sentence in done.stderr) == (2, "", True), done.stderr
    done = run("query", "totals", "--db", f"http://{secured.server.http_address}")
    assert (done.returncode, "if it speaks TLS, name it with https://" in done.stderr) == (2, True), done.stderr


def test_commands_name_a_port_without_tls(run: Run, guarded: Server) -> None:
    """Who asks a plain port over TLS is told the other scheme, and nobody puts a password into a URL."""
    done = run("query", "totals", "--db", f"https://{guarded.http_address}")
    assert (done.returncode, "speaks no TLS; name it with http://" in done.stderr) == (2, True), done.stderr
    done = run("query", "totals", "--db", f"http://me:{READ}@{guarded.http_address}")
    assert (done.returncode, "TRACEGUARD_TOKEN" in done.stderr, READ in done.stderr) == (2, True, False)


def test_a_token_does_not_follow_a_redirect(run: Run) -> None:
    """A server that points elsewhere is an error, and nobody else is asked."""
    asked: list[tuple[str, str | None]] = []

    class Pointing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            self.send_response(307)
            self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Nothing to print."""

    with http.server.HTTPServer(("127.0.0.1", 0), Pointing) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        done = run("query", "totals", "--db", url, env={"TRACEGUARD_TOKEN": READ})
        server.shutdown()
        thread.join()
    assert (done.returncode, "points elsewhere (status 307)" in done.stderr) == (2, True)
    assert asked == [(asked[0][0], f"Bearer {READ}")]
    assert asked[0][0].startswith("/api/query/totals")


# `traceguard serve`


def test_serve_takes_tokens_from_files_and_the_environment(tmp_path: Path) -> None:
    """It says what protects it, shows no token, and lets in who has one."""
    file = tmp_path / "writers"
    file.write_text(f"{WRITE}\n")
    command = [
        sys.executable, "-m", "traceguard", "serve", "--db", tmp_path / "live.duckdb", "--grpc", ANY, "--http", ANY,
        "--write-token-file", file,
    ]  # fmt: skip
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={"TRACEGUARD_READ_TOKEN": READ, "PATH": ""}
    ) as process:
        assert process.stderr is not None
        printed = ""
        for line in process.stderr:
            printed += line
            if "needs a token" in line:
                break
        address = re.search(r"OTLP/HTTP on (\S+)\.", printed)
        assert address is not None, printed
        with closing(http.client.HTTPConnection(address[1], timeout=20)) as connection:
            connection.request("GET", "/api/query", headers=_bearer(READ))
            assert connection.getresponse().status == 200
        process.send_signal(signal.SIGTERM)
        printed += process.stderr.read()
    assert "(known: 1 to write, 1 to read, none to administer)" in printed
    assert process.returncode == 0
    assert WRITE not in printed
    assert READ not in printed


@pytest.mark.parametrize(
    ("arguments", "env", "sentence"),
    [
        (["--http", "0.0.0.0:0"], {}, "can be reached from other machines; set tokens"),
        ([], {"TRACEGUARD_WRITE_TOKEN": "short"}, "TRACEGUARD_WRITE_TOKEN: a token has 16 characters or more"),
        ([], {"TRACEGUARD_WRITE_TOKEN": WRITE}, "There is no token to read"),
        (["--read-token-file", "absent"], {}, "The token file absent cannot be read"),
        (["--tls-cert", "absent"], {}, "--tls-key FILE"),
        (["--tls-cert", "absent", "--tls-key", "absent"], {}, "The certificate absent cannot be read"),
        ([], {"TRACEGUARD_TLS_CERT": "absent", "TRACEGUARD_TLS_KEY": "absent"}, "The certificate absent cannot be"),
    ],
)
def test_serve_refuses_in_one_sentence(
    run: Run, tmp_path: Path, arguments: list[str], env: dict[str, str], sentence: str
) -> None:
    """What cannot protect is told before the store is made."""
    done = run("serve", "--db", tmp_path / "live.duckdb", "--grpc", ANY, "--http", ANY, *arguments, env=env)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert sentence in done.stderr
    assert not list(tmp_path.iterdir())
