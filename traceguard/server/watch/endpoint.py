"""Where the environment sends a process's own spans, and whether that is this very process."""

import ipaddress
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from traceguard.server.door.address import Address

_TRACES = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
_ALL = "OTEL_EXPORTER_OTLP_ENDPOINT"

_IP = ipaddress.IPv4Address | ipaddress.IPv6Address
_LOOPBACKS = (ipaddress.ip_address("127.0.0.1"), ipaddress.ip_address("::1"))


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An OTLP endpoint for traces: the URL as an exporter takes it, and the protocol (`grpc`, `http/protobuf`)."""

    url: str
    protocol: str

    @staticmethod
    def named(environ: "Mapping[str, str]") -> bool:
        """Whether the environment names an endpoint."""
        return bool(environ.get(_TRACES) or environ.get(_ALL))

    @classmethod
    def of(cls, environ: "Mapping[str, str]", protocol: str | None = None) -> "Endpoint":
        """The endpoint as OpenTelemetry's specification reads the environment; its defaults are on localhost.

        Where no protocol is named it is http/protobuf, but grpc to port 4317, which is nothing else by convention.
        """
        given = environ.get(_TRACES) or environ.get(_ALL)
        protocol = (
            protocol
            or environ.get("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL")
            or environ.get("OTEL_EXPORTER_OTLP_PROTOCOL")
            or ("grpc" if given and _place(given)[1] == 4317 else "http/protobuf")
        ).strip()
        if protocol == "grpc":
            return cls(given or "http://localhost:4317", protocol)
        url = environ.get(_TRACES) or f"{(environ.get(_ALL) or 'http://localhost:4318').rstrip('/')}/v1/traces"
        return cls(url, protocol)

    @property
    def shown(self) -> str:
        """HOST:PORT, without what else a URL may hold (a password)."""
        host, port = _place(self.url)
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    def is_one_of(self, own: "Sequence[Address]") -> bool:
        """Whether what is sent there arrives at one of the addresses that a server listens on."""
        host, port = _place(self.url)
        return any(port == address.port and _reaches(host, address.host) for address in own)


def _place(url: str) -> tuple[str, int]:
    parts = urlsplit(url if "://" in url else f"//{url}")
    return parts.hostname or "localhost", parts.port or (80 if parts.scheme == "http" else 443)


def _reaches(host: str, bound: str) -> bool:
    """Whether a connection to `host` arrives at a socket bound to `bound`, on the same port."""
    targets, listening = _addresses(host), _addresses(bound)
    if any(ip.is_unspecified for ip in targets):
        # To connect to "no address" is to connect to this machine.
        targets = {*targets, *_LOOPBACKS}
    if any(ip.is_unspecified for ip in listening):
        return any(_is_here(ip) for ip in targets)
    return bool(targets & listening)


def _addresses(host: str) -> set[_IP]:
    try:
        found = {str(info[4][0]).partition("%")[0] for info in socket.getaddrinfo(host, None)}
    except OSError:
        return set()
    return {_plain(ipaddress.ip_address(text)) for text in found}


def _plain(ip: _IP) -> _IP:
    """An IPv4 address that is written as IPv6, as itself."""
    mapped = ip.ipv4_mapped if isinstance(ip, ipaddress.IPv6Address) else None
    return mapped or ip


def _is_here(ip: _IP) -> bool:
    """Whether an address is one of this machine: only those can be bound."""
    if ip.is_loopback or ip.is_unspecified:
        return True
    family = socket.AF_INET6 if ip.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((str(ip), 0))
    except OSError:
        return False
    return True
