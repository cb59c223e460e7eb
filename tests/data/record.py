"""Makes the recordings beside this file anew: real applications with real flag hooks and exporters send to a listener here.

Run it with Python 3.11 or later; it needs pip and npm and installs what it records into throwaway folders. Every byte of a recording was
sent by the libraries; the drivers only evaluate flags and open spans.
"""

import gzip
import http.server
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import venv
from pathlib import Path

HERE = Path(__file__).resolve().parent
RECORDINGS = HERE / "recordings"
SENDERS = ["opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"]
PYTHON = {
    "openfeature-python-0.2": ("openfeature_python.py", ["openfeature-hooks-opentelemetry==0.2.*"]),
    "openfeature-python-0.3": ("openfeature_python.py", ["openfeature-hooks-opentelemetry==0.3.*"]),
    "launchdarkly-python": ("launchdarkly_python.py", ["launchdarkly-server-sdk", "launchdarkly-server-sdk-otel"]),
    "opentelemetry-python": ("opentelemetry_python.py", []),
}
JAVASCRIPT = [
    "@openfeature/server-sdk", "@openfeature/core", "@openfeature/open-telemetry-hooks", "@opentelemetry/api",
    "@opentelemetry/api-logs", "@opentelemetry/resources", "@opentelemetry/sdk-trace-node", "@opentelemetry/sdk-logs",
    "@opentelemetry/exporter-trace-otlp-http", "@opentelemetry/exporter-logs-otlp-http",
    "@opentelemetry/exporter-trace-otlp-proto", "@opentelemetry/exporter-logs-otlp-proto",
]
FOREIGN = (b"site-packages", b"node_modules", b"file:/", str(HERE).encode(), tempfile.gettempdir().encode() + b"/")


class Listener(http.server.BaseHTTPRequestHandler):
    """Keeps each request body as a file, named by what is recorded, the signal and a number."""

    name = ""
    foreign: list[str] = []
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self._body()
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        kind = "json" if "json" in self.headers["Content-Type"] else "pb"
        signal = self.path.rsplit("/", 1)[-1]
        number = len(list(RECORDINGS.glob(f"{self.name}.{signal}.*"))) + 1
        if any(path in body for path in FOREIGN):
            Listener.foreign.append(self.name)
        (RECORDINGS / f"{self.name}.{signal}.{number}.{kind}").write_bytes(body)
        answer = b"{}" if kind == "json" else b""
        self.send_response(200)
        self.send_header("Content-Type", self.headers["Content-Type"])
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers["Content-Length"]))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def log_message(self, *_: object) -> None:
        """Say nothing per request."""


def main() -> None:
    """Record everything, or what the command line names."""
    RECORDINGS.mkdir(exist_ok=True)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Listener)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    environment = {**os.environ, "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{server.server_port}"}
    chosen = sys.argv[1:] or [*PYTHON, "openfeature-js", "openfeature-js-protobuf"]
    for name in chosen:
        for old in RECORDINGS.glob(f"{name}.*.*.*"):
            if old.name.startswith((f"{name}.traces.", f"{name}.logs.")):
                old.unlink()
        Listener.name = name
        with tempfile.TemporaryDirectory() as folder:
            if name in PYTHON:
                driver, packages = PYTHON[name]
                venv.create(folder, with_pip=True)
                python = str(Path(folder) / "bin" / "python")
                subprocess.run([python, "-m", "pip", "install", "-q", *SENDERS, *packages], check=True)
                shutil.copy(HERE / "drivers" / driver, Path(folder) / "driver.py")
                subprocess.run([python, "driver.py"], check=True, cwd=folder, env=environment)
            else:
                subprocess.run(["npm", "install", "--silent", "--no-audit", "--no-fund", *JAVASCRIPT], check=True, cwd=folder)
                shutil.copy(HERE / "drivers" / "openfeature_js.mjs", Path(folder) / "driver.mjs")
                form = "protobuf" if name.endswith("protobuf") else "json"
                subprocess.run(["node", "driver.mjs"], check=True, cwd=folder, env={**environment, "FORM": form})
        print(name, *(f"{file.name}: {file.stat().st_size} bytes" for file in sorted(RECORDINGS.glob(f"{name}.[tl]*"))), sep="\n  ")
    server.shutdown()
    if Listener.foreign:
        raise SystemExit(f"Recorded a path of this machine, leave it out in the driver: {', '.join(Listener.foreign)}")


if __name__ == "__main__":
    main()
