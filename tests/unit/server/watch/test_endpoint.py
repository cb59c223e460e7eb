"""Where the environment sends spans, and whether that is this server itself."""

import socket

import pytest

from traceguard.server.door.address import Address
from traceguard.server.watch.endpoint import Endpoint

_ALL, _TRACES = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"


@pytest.mark.parametrize(
    ("environ", "url", "protocol"),
    [
        ({}, "http://localhost:4318/v1/traces", "http/protobuf"),
        ({_ALL: "http://c:4318"}, "http://c:4318/v1/traces", "http/protobuf"),
        ({_ALL: "http://c:4318/base/"}, "http://c:4318/base/v1/traces", "http/protobuf"),
        ({_TRACES: "https://c/in", _ALL: "http://d:1"}, "https://c/in", "http/protobuf"),
        ({_ALL: "http://c:4317"}, "http://c:4317", "grpc"),
        ({_ALL: "c:4317"}, "c:4317", "grpc"),
        ({_ALL: "http://c:4317", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf"}, "http://c:4317/v1/traces",
         "http/protobuf"),
        ({"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "grpc"}, "http://localhost:4317", "grpc"),
    ],
)  # fmt: skip
def test_the_environment_is_read_as_opentelemetry_says(environ: dict[str, str], url: str, protocol: str) -> None:
    """The traces' own variables win, paths are appended to the general one, defaults are on localhost."""
    assert Endpoint.of(environ) == Endpoint(url, protocol)
    assert Endpoint.named(environ) == bool({_ALL, _TRACES} & set(environ))


@pytest.mark.parametrize(
    ("url", "bound"),
    [
        ("http://127.0.0.1:4318", "127.0.0.1:4318"),
        ("http://localhost:4318", "127.0.0.1:4318"),
        ("http://LOCALHOST:4318/v1/traces", "127.0.0.1:4318"),
        ("http://0.0.0.0:4318", "127.0.0.1:4318"),
        ("http://[::ffff:127.0.0.1]:4318", "127.0.0.1:4318"),
        ("localhost:4318", "localhost:4318"),
        ("http://[::1]:4318", "[::1]:4318"),
        ("http://[::1]:4318", "0.0.0.0:4318"),
        ("http://127.0.0.1:4318", "0.0.0.0:4318"),
        ("http://127.0.0.1:4318", "[::]:4318"),
        ("http://127.9.9.9:4318", "0.0.0.0:4318"),
        (f"http://{socket.gethostname()}:4318", "0.0.0.0:4318"),
        ("http://user:word@127.0.0.1:4318", "127.0.0.1:4318"),
        ("http://127.0.0.1", "127.0.0.1:80"),
        ("https://127.0.0.1/x", "127.0.0.1:443"),
    ],
)
def test_this_very_server_is_known_by_all_its_names(url: str, bound: str) -> None:
    """However an endpoint spells this machine, it is recognised; the other port counts as well."""
    other = Address("127.0.0.1", 9)
    assert Endpoint(url, "http/protobuf").is_one_of([other, Address.parse(bound)])


@pytest.mark.parametrize(
    ("url", "bound"),
    [
        ("http://127.0.0.1:4319", "127.0.0.1:4318"),
        ("http://127.0.0.2:4318", "127.0.0.1:4318"),
        ("http://192.0.2.1:4318", "0.0.0.0:4318"),
        ("http://no-such-host.invalid:4318", "0.0.0.0:4318"),
    ],
)
def test_other_places_are_not_this_server(url: str, bound: str) -> None:
    """Another port, another address, another machine and a name that nobody has are not this server."""
    assert not Endpoint(url, "http/protobuf").is_one_of([Address.parse(bound)])


def test_what_is_shown_of_an_endpoint_holds_no_password() -> None:
    """Host and port only."""
    assert Endpoint("http://user:word@c:4318/v1/traces?token=x", "http/protobuf").shown == "c:4318"
    assert Endpoint("http://[::1]:4318", "grpc").shown == "[::1]:4318"
