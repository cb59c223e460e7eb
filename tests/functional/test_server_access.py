"""Who is let in over the network: every role on every route and protocol, people with browsers, other web sites."""

import base64
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from google.rpc.status_pb2 import Status

from traceguard.server import Access, Server

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
        ("GET", "/causes"), ("GET", "/part/verdict"), ("GET", "/requests/ab"), ("GET", "/static/live.js"),
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


def _call(server: Server, body: bytes = b"", **options: Any) -> grpc.StatusCode:
    """The status of an export over gRPC."""
    with grpc.insecure_channel(server.grpc_address, options=[("grpc.max_send_message_length", -1)]) as channel:
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
