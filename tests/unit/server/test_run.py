"""Starting and stopping a server inside a process."""

import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

import traceguard
from traceguard.errors import StoreError, UsageError
from traceguard.server import Server
from traceguard.store import open_store

ANY = "127.0.0.1:0"


def test_a_server_starts_stops_and_starts_again(tmp_path: Path) -> None:
    """Addresses are real while it runs, the store is free after it, and stopping twice is fine."""
    path = tmp_path / "live.duckdb"
    for _ in range(2):
        server = Server(path, ANY, ANY)
        server.start()
        assert not server.grpc_address.endswith(":0")
        assert not server.http_address.endswith(":0")
        server.stop()
        server.stop()
        with open_store(path, mode="write"):
            pass


@pytest.mark.parametrize(("which", "option"), [("grpc", "--grpc"), ("http", "--http")])
def test_a_port_in_use_is_named_and_the_store_let_go(tmp_path: Path, which: str, option: str) -> None:
    """Who cannot listen says where and which option helps, and holds nothing."""
    path = tmp_path / "live.duckdb"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(UsageError, match=f"{address}.*{option}"):
            Server(path, **{"grpc": ANY, "http": ANY, which: address}).start()
    with open_store(path, mode="write"):
        pass


def test_an_unusable_store_is_refused_before_listening(tmp_path: Path) -> None:
    """The store's own sentence comes through."""
    with pytest.raises(StoreError, match="is a folder"):
        Server(tmp_path, ANY, ANY).start()


def test_all_compiled_loops_are_loaded_before_listening() -> None:
    """No request waits for a compiler: all modules with compiled loops, but those that only files need, are loaded."""
    root = Path(traceguard.__file__).parent
    compiled = {
        ".".join(("traceguard", *file.relative_to(root).with_suffix("").parts))
        for file in root.rglob("*.py")
        if re.search(r"^from traceguard.kernels import", file.read_text(encoding="utf-8"), re.MULTILINE)
    }
    code = "import sys\nfrom traceguard.server.run import _load_loops\n_load_loops(print)\nprint(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert compiled - {"traceguard.otlp.framing", "traceguard.otlp.jaeger"} <= set(ran.stdout.split())
