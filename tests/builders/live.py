"""A live server and its clients by hand: HTTP as libraries and as bytes, gRPC as libraries and as frames."""

import http.client
import socket
import struct
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc

from traceguard.server import Server
from traceguard.store import open_store

PROTOBUF = "application/x-protobuf"
JSON = "application/json"

SERVICES = {
    "traces": "opentelemetry.proto.collector.trace.v1.TraceService",
    "logs": "opentelemetry.proto.collector.logs.v1.LogsService",
    "metrics": "opentelemetry.proto.collector.metrics.v1.MetricsService",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer, read whole."""

    status: int
    headers: http.client.HTTPMessage
    content: bytes


@dataclass(frozen=True, slots=True)
class Live:
    """A running server, and how to talk to it."""

    http_address: str
    grpc_address: str
    path: Path

    @classmethod
    def of(cls, server: Server, path: Path) -> "Live":
        """The server of this process that owns the store at `path`."""
        return cls(server.http_address, server.grpc_address, path)

    def http(self, method: str, target: str, body: Any = None, **headers: str) -> Answer:
        """One HTTP request on a connection of its own, read whole; an iterable body is sent in chunks."""
        with closing(http.client.HTTPConnection(self.http_address, timeout=60)) as connection:
            connection.request(method, target, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answer = connection.getresponse()
            return Answer(answer.status, answer.headers, answer.read())

    def grpc(self, signal: str, body: bytes, **options: Any) -> bytes:
        """An Export over gRPC, as raw bytes."""
        with grpc.insecure_channel(self.grpc_address, options=[("grpc.max_send_message_length", -1)]) as channel:
            answer: bytes = channel.unary_unary(f"/{SERVICES[signal]}/Export")(body, timeout=60, **options)
            return answer

    def raw(self, sent: bytes, until: bytes) -> bytes:
        """What the HTTP port answers to these bytes, until it ends with `until` or the connection closes."""
        host, port = self.http_address.rsplit(":", 1)
        with socket.create_connection((host, int(port)), timeout=60) as connection:
            connection.sendall(sent)
            answer = b""
            while not answer.endswith(until) and (piece := connection.recv(65536)):
                answer += piece
            return answer

    def frames(self, signal: str, message: bytes, coding: str) -> tuple[int, str]:
        """gRPC's status and sentence for a message that is sent as it is, under the coding that its header claims."""
        return _call(self.grpc_address, f"/{SERVICES[signal]}/Export", message, coding)

    def metric(self, line: str) -> float:
        """One value of /metrics."""
        text = self.http("GET", "/metrics").content.decode()
        return next(float(found.split()[-1]) for found in text.splitlines() if found.startswith(line + " "))

    def rows(self, query: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What a query finds in the store, as this process sees it beside the server."""
        with open_store(self.path) as store, store.cursor() as cursor:
            found: list[tuple[Any, ...]] = cursor.execute(query, list(parameters)).fetchall()
            return found


def _call(address: str, target: str, message: bytes, coding: str) -> tuple[int, str]:
    """A gRPC call in bare HTTP/2: libraries pack a message themselves, which would first make a bomb of full size."""
    host, port = address.rsplit(":", 1)
    fields = {
        ":method": "POST", ":scheme": "http", ":path": target, ":authority": address,
        "content-type": "application/grpc", "te": "trailers", "grpc-encoding": coding,
    }  # fmt: skip
    body = b"\x01" + struct.pack(">I", len(message)) + message
    room, largest, sent = {0: 65535, 1: 65535}, 16384, 0
    with socket.create_connection((host, int(port)), timeout=60) as connection, connection.makefile("rb") as answers:
        connection.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, 0, b""))
        connection.sendall(
            _frame(1, 4, 1, b"".join(b"\0" + _literal(name) + _literal(value) for name, value in fields.items()))
        )
        while True:
            size = min(*room.values(), largest, len(body) - sent)
            if size > 0:
                sent += size
                connection.sendall(_frame(0, int(sent == len(body)), 1, body[sent - size : sent]))
                room = {stream: left - size for stream, left in room.items()}
                continue
            head = answers.read(9)
            kind, flags, stream = head[3], head[4], int.from_bytes(head[5:])
            content = answers.read(int.from_bytes(head[:3]))
            if kind == 4 and not flags:
                settings = dict(struct.iter_unpack(">HI", content))
                room[1] += settings.get(4, 65535) - 65535
                largest = settings.get(5, largest)
                connection.sendall(_frame(4, 1, 0, b""))
            elif kind == 6 and not flags:
                connection.sendall(_frame(6, 1, 0, content))
            elif kind == 8:
                room[stream] += int.from_bytes(content)
            elif kind == 1 and flags & 1:
                return int(_told(content, "grpc-status")), _told(content, "grpc-message")
            elif kind in {3, 7}:
                raise ConnectionError(f"the server ended the call without a status (frame {kind})")


def _frame(kind: int, flags: int, stream: int, content: bytes) -> bytes:
    return len(content).to_bytes(3) + bytes([kind, flags]) + stream.to_bytes(4) + content


def _literal(text: str) -> bytes:
    """A name or a value without Huffman's code; all of ours are shorter than 127 bytes."""
    return bytes([len(text)]) + text.encode()


def _told(trailers: bytes, name: str) -> str:
    """A trailer's value; gRPC writes them as literals, once on a connection."""
    start = trailers.index(name.encode()) + len(name)
    return trailers[start + 1 : start + 1 + trailers[start]].decode()
