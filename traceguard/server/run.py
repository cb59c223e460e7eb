"""One process that owns a live store: both receivers, the API and the page, from start to a clean stop.

The order matters. Start: own the store, load the compiled loops, write, listen; so `/readyz` never lies. Stop: listen
no more, finish what was taken, commit it, close the store.
"""

import os
import signal
import socket
import ssl
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import traceguard
from traceguard.errors import TraceguardError, UsageError
from traceguard.server.door.access import Access, Tls
from traceguard.server.door.address import Address
from traceguard.server.intake.budget import LARGEST_LIMIT, LIMIT_BYTES, SMALLEST_LIMIT, Budget
from traceguard.server.watch import log, process
from traceguard.settings import Settings
from traceguard.store import open_store
from traceguard.store.retention import Rules
from traceguard.units import format_size, parse_size

if TYPE_CHECKING:
    from types import FrameType

    import uvicorn

    from traceguard.server.intake.commit import Committer
    from traceguard.server.intake.receiver import Receiver
    from traceguard.server.page.routes import LivePage
    from traceguard.server.upkeep.keeper import Keeper
    from traceguard.server.watch.counters import Counters
    from traceguard.server.watch.telemetry import Telemetry
    from traceguard.store import Store

GRACE_SECONDS = 10.0

# Exporters send every few seconds; their connections stay open in between.
_KEEP_ALIVE_SECONDS = 75

# What exports and questions need; these import all modules with compiled loops but those that only files need. Each
# share takes about as long to compile as the others.
_WITH_LOOPS = (
    ("traceguard.otlp.spans", "traceguard.otlp.request"),
    ("traceguard.otlp.origins", "traceguard.otlp.logs"),
    (
        "traceguard.explain", "traceguard.traces.facts", "traceguard.radius.reach", "traceguard.radius.what_if",
        "traceguard.rollout.answer",
        "traceguard.otlp.json", "traceguard.otlp.duplicates", "traceguard.otlp.points",
    ),
    ("traceguard.report.pages",),  # no loops, but a quarter of a second of imports
)  # fmt: skip


def _tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)  # noqa: T201  (a server's one voice)


class Server:
    """A server over the store at `db`, usable inside a process: `start`, then `stop`, or a `with` block.

    `grpc` and `http` are `HOST:PORT`, port 0 lets the system choose; `grpc_address` and `http_address` say where it
    really listens. `access` says who may do what; other addresses than loopback need tokens or client certificates
    there, or `insecure`. `pending_bytes` bounds the requests in memory: beyond it, exporters are told to come
    again. It is at least four times the settings' `max_body` unless given. With `trace_itself` the `OTEL_*` variables
    of the environment say whether and where its own spans go.
    """

    def __init__(
        self,
        db: str | Path,
        grpc: str = "127.0.0.1:4317",
        http: str = "127.0.0.1:4318",
        settings: Settings | None = None,
        *,
        access: Access | None = None,
        insecure: bool = False,
        pending_bytes: int | None = None,
        trace_itself: bool = False,
        tell: Callable[[str], None] = _tell,
    ) -> None:
        self._db = db
        self._grpc = Address.parse(grpc)
        self._http = Address.parse(http)
        self._access = access or Access()
        self._insecure = insecure
        self._settings = settings or Settings()
        self._max_body = _body_limit(self._settings.max_body)
        # A body counts as sent and once more unpacked.
        self._pending_bytes = pending_bytes or max(LIMIT_BYTES, 4 * self._max_body)
        self._trace_itself = trace_itself
        self.rules = Rules.of(self._settings.keep, self._settings.max_size)
        self.judge_seconds = _judging(self._settings.judge_every)
        self._tell = tell
        self.privacy: str | None = None  # what reports will miss because the settings hide it; known after the start
        self._receiver: Receiver | None = None
        self._own_spans: Telemetry | None = None
        self._running: ExitStack | None = None
        if not (insecure or self._access.protected):
            self._grpc.refuse_unless_loopback()
            self._http.refuse_unless_loopback()

    @property
    def grpc_address(self) -> str:
        """Where OTLP/gRPC is taken, as HOST:PORT."""
        return str(self._grpc)

    @property
    def http_address(self) -> str:
        """Where OTLP/HTTP, the API and the page are, as HOST:PORT."""
        return str(self._http)

    @property
    def url(self) -> str:
        """Where OTLP/HTTP, the API and the page are, as a URL."""
        return self._url(self._http)

    @property
    def protection(self) -> list[str]:
        """What protects the ports, and what does not, in sentences."""
        told = [str(self._access)]
        far = [str(address) for address in (self._grpc, self._http) if not address.loopback]
        if far and not self._access.protected:
            told.append(f"Warning: everyone who reaches {' or '.join(far)} may write and read, as --insecure says.")
        if far and self._access.digests and self._access.tls is None:
            told.append(
                f"Warning: tokens reach {' and '.join(far)} unencrypted; add --tls-cert and --tls-key, or put a proxy"
                " that speaks TLS in front."
            )
        return told

    def _url(self, address: Address) -> str:
        return f"{'http' if self._access.tls is None else 'https'}://{address}"

    def start(self) -> None:
        """Own the store and listen; returns once both ports answer. StoreError or UsageError if that cannot be."""
        self.privacy = _privacy(self._settings)
        with ExitStack() as stack:
            # First of all, so that a port in use is told at once and nothing is made.
            listening = stack.enter_context(closing(_bind(self._http, "http")))
            self._http = Address(self._http.host, listening.getsockname()[1])
            _bind(self._grpc, "grpc").close()
            stack.callback(self._flush)
            store = stack.enter_context(open_store(self._db, mode="write"))
            _load_loops(self._tell)
            self._listen(stack, store, listening)
            self._running = stack.pop_all()

    def stop(self) -> None:
        """Finish what was taken, commit it and close the store; does nothing if the server does not run."""
        running, self._running = self._running, None
        if running is not None:
            running.close()

    def settle(self) -> None:
        """Write the log lines that sum up the last minute; to be called now and then."""
        if self._receiver is not None:
            self._receiver.refusals.settle()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _flush(self) -> None:
        """Send the last of the server's own spans, once everything else is done."""
        own_spans, self._own_spans = self._own_spans, None
        if own_spans is not None:
            own_spans.close()

    def _watch(self, counters: "Counters", receiver: "Receiver", committer: "Committer") -> None:
        process.watch(counters)
        counters.watch("build_info", lambda: 1.0, traceguard.__version__)
        counters.watch("uptime_seconds", _clock())
        counters.watch("pending_bytes", lambda: receiver.budget.held)
        counters.watch("pending_limit_bytes", lambda: self._pending_bytes)
        counters.watch("ready", lambda: float(committer.ready))

    def _listen(self, stack: ExitStack, store: "Store", listening: socket.socket) -> None:
        from traceguard.server.app import build
        from traceguard.server.door.guard_grpc import Guard, credentials
        from traceguard.server.intake.commit import Committer
        from traceguard.server.intake.otlp_grpc import GrpcEndpoint
        from traceguard.server.intake.receiver import Receiver
        from traceguard.server.page.given import API, History
        from traceguard.server.page.routes import LivePage
        from traceguard.server.page.visit import Place
        from traceguard.server.questions import copies
        from traceguard.server.questions.analyses import Analyses
        from traceguard.server.questions.api import Api
        from traceguard.server.upkeep.admin import Admin
        from traceguard.server.upkeep.keeper import Keeper
        from traceguard.server.watch import telemetry
        from traceguard.server.watch.counters import Counters

        counters = Counters()
        committer = Committer(store, counters)
        receiver = Receiver(committer, self._settings, counters, Budget(self._pending_bytes), self._max_body)
        self._receiver = receiver
        stack.callback(receiver.refusals.settle, all_of_it=True)
        self._watch(counters, receiver, committer)
        copies.sweep(store)
        stack.callback(copies.sweep, store)
        stack.callback(committer.close)
        stack.callback(receiver.close)
        keeper = Keeper(store, self.rules, counters)
        stack.callback(keeper.close, GRACE_SECONDS)
        unpackers = stack.enter_context(_pool(os.cpu_count() or 1, "traceguard-unpack"))
        analyses = Analyses(store, counters)
        analyses.start()
        stack.callback(analyses.close, GRACE_SECONDS)
        guards = [Guard(self._access, receiver.refused)] if self._access.digests else []
        endpoint = GrpcEndpoint(
            receiver, self._grpc, guards, None if self._access.tls is None else credentials(self._access.tls)
        )
        stack.callback(endpoint.stop, GRACE_SECONDS)
        self._grpc = endpoint.address
        own_spans = telemetry.start([self._grpc, self._http]) if self._trace_itself else None
        self._own_spans = committer.telemetry = receiver.arrivals.telemetry = own_spans
        committer.start()
        receiver.start()
        history = History(store, counters, self.rules.most_verdicts)
        api = Api(
            analyses, self._settings, own_spans, lambda asked, report, at: history.note(asked, report, API, at)
        )  # fmt: skip
        place = Place(self._settings, history, self._url(self._grpc), self.url)
        page = LivePage(analyses, place, own_spans)
        keeper.after_removal, keeper.amid_forgetting = page.let_go, history.let_go
        app = build(
            receiver,
            [*api.routes(), *page.routes(), *Admin(keeper, self._settings).routes()],
            counters,
            ready=lambda: committer.ready,
            pool=unpackers,
            access=self._access,
            local_only=self._http.loopback and not (self._insecure or self._access.digests),
        )
        endpoint.start()
        stack.enter_context(_serving(app, listening, self._access.tls))
        # Before the HTTP server waits for its last answers: a question must not hold up the stop.
        stack.callback(analyses.stop)
        self._begin_upkeep(stack, keeper, page, counters)

    def _begin_upkeep(self, stack: ExitStack, keeper: "Keeper", page: "LivePage", counters: "Counters") -> None:
        """Start what works by the clock; it ends before the questions do."""
        from traceguard.server.page.schedule import Schedule

        stack.callback(keeper.stop)
        keeper.start()
        if self.judge_seconds is not None:
            schedule = Schedule(page.verdicts, lambda: counters.value("spans_committed"), self.judge_seconds)
            stack.callback(schedule.stop)
            schedule.start()


def serve(
    db: str | Path,
    *,
    grpc: str = "127.0.0.1:4317",
    http: str = "127.0.0.1:4318",
    access: Access | None = None,
    insecure: bool = False,
    settings: Settings | None = None,
    log_format: str = "text",
    log_level: str = "info",
) -> None:
    """Run a server until SIGTERM or SIGINT, then drain and return."""
    stopping = threading.Event()

    def stop(_number: int, _frame: "FrameType | None") -> None:
        stopping.set()

    process.give_back_memory()
    previous = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        with (
            log.speaking(log_format, log_level),
            Server(
                db, grpc, http, settings, access=access, insecure=insecure, trace_itself=True, tell=_tell_loading
            ) as server,
        ):
            _tell_start(db, server)
            while not stopping.wait(1.0):
                # Waiting without an end would keep signals from Python on some systems.
                server.settle()
            log.info("stopping", "Stopping: finishing what was taken.")
            server.stop()
            log.info("stopped", f"Stopped; everything that was acknowledged is in {db}.", db=str(db))
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _tell_loading(sentence: str) -> None:
    log.info("loading_loops", sentence)


def _tell_start(db: str | Path, server: Server) -> None:
    log.info(
        "started",
        f"Receiving into {db}: OTLP/gRPC on {server.grpc_address}, OTLP/HTTP on {server.http_address}.",
        version=traceguard.__version__,
        db=str(db),
        grpc=server.grpc_address,
        http=server.http_address,
    )
    kept = server.rules
    log.info("keeps", str(kept), seconds=None if kept.keep_ns is None else kept.keep_ns / 1e9, bytes=kept.max_bytes)
    if server.judge_seconds is not None:
        log.info("judges", f"Judges every {server.judge_seconds:g} seconds.", seconds=server.judge_seconds)
    log.info("ready", f"The page and the API are at {server.url}/ .", url=server.url)
    for sentence in server.protection:
        warned = sentence.removeprefix("Warning: ")
        (log.info if warned == sentence else log.warning)("protection", warned)
    if server.privacy is not None:
        log.warning("privacy", server.privacy)


def _clock() -> Callable[[], float]:
    """Seconds since now, whenever it is called."""
    began = time.monotonic()
    return lambda: time.monotonic() - began


def _body_limit(text: str) -> int:
    """Bytes of the setting `max_body`."""
    size = parse_size(text)
    if not SMALLEST_LIMIT <= size <= LARGEST_LIMIT:
        bounds = f"{format_size(SMALLEST_LIMIT)} to {format_size(LARGEST_LIMIT)}"
        raise UsageError(f"The largest body {text!r} lies outside {bounds}; write a size such as 64MiB.")
    return size


def _judging(every: str | None) -> float | None:
    """Seconds of the setting `judge_every`."""
    from traceguard.server.page.schedule import interval

    return None if every is None else interval(every)


def _privacy(settings: Settings) -> str | None:
    """What to say of the rules that hide attributes; UsageError when they want a key and there is none."""
    from traceguard.otlp.redact import check

    return check(settings)


def _load_loops(tell: Callable[[str], None]) -> None:
    """Load all compiled loops; the first time on a machine they are compiled, which takes a while.

    A loop that was compiled amid a request would hold Python's lock, and exports would wait for it.
    """
    slow = threading.Timer(
        1.0, tell, ["Loading compiled loops; the first time on a machine this takes up to a minute."]
    )
    slow.daemon = True
    slow.start()
    from traceguard import kernels

    try:
        kernels.compile_ahead(_WITH_LOOPS)
        for share in _WITH_LOOPS:
            for module in share:
                import_module(module)
    finally:
        slow.cancel()


@contextmanager
def _pool(threads: int, name: str) -> Iterator[ThreadPoolExecutor]:
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _bind(address: Address, option: str) -> socket.socket:
    """A socket that owns the address; it does not listen yet, so who connects too early is refused and comes again."""
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((address.host, address.port))
    except OSError as error:
        bound.close()
        name = {"http": "OTLP/HTTP", "grpc": "OTLP/gRPC"}[option]
        raise UsageError(
            f"{name} cannot listen on {address} ({error.strerror or error}); name another address with --{option}."
        ) from None
    return bound


@contextmanager
def _serving(app: Any, listening: socket.socket, tls: Tls | None) -> Iterator[None]:
    """Uvicorn in a thread of its own."""
    import uvicorn

    files: dict[str, Any] = {}
    if tls is not None:
        verify = ssl.CERT_NONE if tls.client_ca is None else ssl.CERT_REQUIRED
        files = {
            "ssl_certfile": tls.certificate, "ssl_keyfile": tls.key, "ssl_ca_certs": tls.client_ca,
            "ssl_cert_reqs": verify,
        }  # fmt: skip
    config = uvicorn.Config(
        app,
        access_log=False,
        lifespan="off",
        log_config=None,
        log_level="warning",
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=int(GRACE_SECONDS),
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        ws="none",
        **files,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],), name="traceguard-http", daemon=True)
    thread.start()
    _wait_started(server, thread)
    try:
        yield
    finally:
        server.should_exit = True
        thread.join()


def _wait_started(server: "uvicorn.Server", thread: threading.Thread) -> None:
    while not server.started:
        if not thread.is_alive():
            raise TraceguardError("The HTTP server ended while it started; its log shows why.")
        time.sleep(0.01)
