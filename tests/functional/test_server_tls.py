"""TLS on both ports: real exporters, browsers' and the command line's side of it, and what is turned away."""

import json
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from builders.certificates import Authority, Pair

from traceguard.server import Access, Server, Tls
from traceguard.store import open_store

Run = Callable[..., subprocess.CompletedProcess[str]]

ANY = "127.0.0.1:0"
WRITE, READ = "writers-0123456789", "readers-0123456789"


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
    yield from _secured(tmp_path_factory.mktemp("secured"), mutual=False, write=WRITE, read=READ)


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
    assert secured.ask("GET", "/api/query", Authorization=f"Bearer {READ}").status_code == 200
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
        with grpc.insecure_channel(address) as channel, pytest.raises(grpc.RpcError) as caught:
            channel.unary_unary("/opentelemetry.proto.collector.trace.v1.TraceService/Export")(b"", timeout=20)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert secured.ask("GET", "/healthz").status_code == 200
    assert "Traceback" not in capfd.readouterr().err


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
