"""A store behind a server: what it is named by, and how options travel."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from traceguard.store.remote_store import RemoteStore, behind_server
from traceguard.units import Period


@pytest.fixture
def echo() -> Iterator[str]:
    """The URL of a server that answers with the path and the parameters that it was asked with."""

    class Echo(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = urlsplit(self.path)
            body = json.dumps({"path": asked.path, "params": parse_qs(asked.query)}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    with HTTPServer(("127.0.0.1", 0), Echo) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def test_a_url_or_a_remote_store_is_behind_a_server() -> None:
    """A URL names a server's store, with or without a slash at its end, and such a store is what it is."""
    remote = behind_server("http://127.0.0.1:4318/")
    assert remote == RemoteStore("http://127.0.0.1:4318")
    assert behind_server(remote) is remote


@pytest.mark.parametrize("store", ["shop.duckdb", Path("shop.duckdb"), None])
def test_anything_else_is_not(store: object) -> None:
    """A path, given as text or not, is no server's store."""
    assert behind_server(store) is None


def test_options_travel_as_text(echo: str) -> None:
    """Times, periods and switches are written as text, several values repeat their name, what is off is left out."""
    answer = RemoteStore(echo).graph(
        since=10**9, until="-5m", baseline=Period(0, 10**9), time_zone="UTC", read_by=("cart", "pricing"), env=None,
        live=True, sketches=False,
    )  # fmt: skip
    assert answer == {
        "path": "/api/graph",
        "params": {
            "since": ["1970-01-01T00:00:01Z"],
            "until": ["-5m"],
            "baseline": ["1970-01-01T00:00:00Z/1970-01-01T00:00:01Z"],
            "time-zone": ["UTC"],
            "read-by": ["cart", "pricing"],
            "live": ["true"],
            "format": ["json"],
        },
    }
