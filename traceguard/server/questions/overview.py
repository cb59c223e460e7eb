"""The page at `/`: live counts, and the latest report on the whole store, which is worked out beside the page.

Counting is quick and done for every visit. A report may take long, so a visit starts one when the last is old, waits a
moment for it, and else shows the last one there is, saying so.
"""

import asyncio
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from traceguard.server.questions.analyses import LineFullError
from traceguard.server.questions.api import answered
from traceguard.server.watch import log

if TYPE_CHECKING:
    from concurrent.futures import Future

    from traceguard.report import Analysis
    from traceguard.server.questions.analyses import Analyses, Question
    from traceguard.server.watch.telemetry import Telemetry
    from traceguard.settings import Settings

# A report is worked out anew when it is so old, and never takes more than a tenth of the time.
_STALE_SECONDS = 15.0
_REST = 10.0

PATIENCE_SECONDS = 3.0


@dataclass(frozen=True, slots=True)
class _Latest:
    """A finished report (or why there is none), when it was begun and how long it took, in seconds."""

    analysis: "Analysis | None"
    note: str
    began: float
    took: float


class Overview:
    """The page over the store behind `analyses`; `grpc` and `http` are the URLs it tells visitors to send spans to."""

    def __init__(
        self, analyses: "Analyses", settings: "Settings", grpc: str, http: str, telemetry: "Telemetry | None" = None
    ) -> None:
        self._analyses = analyses
        self._settings = settings
        self._telemetry = telemetry
        self._grpc = grpc
        self._http = http
        self._lock = threading.Lock()
        self._latest: _Latest | None = None
        self._working: Future[None] | None = None

    def routes(self) -> list[Route]:
        """The page's one route."""
        return [Route("/", self._answer, methods=["GET"])]

    async def _answer(self, request: Request) -> Response:
        working = self._work()
        if working is not None:
            await asyncio.wait([asyncio.wrap_future(working)], timeout=PATIENCE_SECONDS)
        return await answered(self._analyses, self._telemetry, request, "/", "page", self._page)

    def _work(self) -> "Future[None] | None":
        """The report that is being worked out; begins one if the last is old and the line is not full."""
        with self._lock:
            if self._working is not None and not self._working.done():
                return self._working
            latest = self._latest
            if latest and time.monotonic() - latest.began < max(_STALE_SECONDS, _REST * latest.took):
                return None
            try:
                self._working = self._analyses.submit("report", self._report).future
            except LineFullError:
                return None
            return self._working

    def _report(self, question: "Question") -> None:
        from traceguard import pipeline

        began = time.monotonic()
        analysis, note = None, ""
        try:
            analysis = pipeline.report(
                question.store, settings=self._settings, progress=question.show, draw_pictures=False
            )
        except Exception as error:  # noqa: BLE001  (the page says it; the log has the rest)
            if question.store.interrupted:
                return
            log.failure("question_failed", "The report on the page failed inside.", error, question="page")
            note = f"The report failed: {error}"
        self._latest = _Latest(analysis, note, began, time.monotonic() - began)

    def _page(self, _: Request, question: "Question") -> Response:
        from traceguard.report.page import PageData, overview
        from traceguard.report.scripts import content_security_policy
        from traceguard.store import queries

        def rows(name: str) -> list[dict[str, Any]]:
            with question.store.cursor() as cursor:
                found: list[dict[str, Any]] = queries.run(cursor, name).to_pylist()
                return found

        latest = self._latest
        totals = rows("totals")[0]
        page = overview(
            PageData(
                traces=totals["traces"],
                spans=totals["spans"],
                start=totals["first_start"],
                end=totals["last_start"],
                entries=rows("entry_points"),
                flags=rows("flags"),
                versions=rows("versions_seen"),
                graph=latest.analysis.graph if latest and latest.analysis else None,
                analysis=latest.analysis if latest else None,
                note=latest.note if latest else "The first report is being worked out; reload in a moment.",
                http_endpoint=self._http,
                grpc_endpoint=self._grpc,
                queries=queries.names(),
            )
        )
        headers = {"Content-Security-Policy": content_security_policy(page)}
        return Response(page, headers=headers, media_type="text/html; charset=utf-8")
