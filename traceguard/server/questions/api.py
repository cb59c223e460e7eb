"""The questions of the command line as GET routes: the same options, documents and words in errors.

Each waits for its turn (see `analyses`) and runs in a worker thread on a cursor of its own, so that exports are taken
meanwhile. 200 answers stand where the command exits with 0, 3, 4 or 5; errors are `{"error": "..."}` with the status of
their branch of the error tree.
"""

from collections import Counter
from io import BytesIO
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from traceguard.errors import TraceguardError, UsageError, first_line
from traceguard.server.questions import copies
from traceguard.server.questions.analyses import RETRY_SECONDS, GoneError, LineFullError
from traceguard.server.watch import log, telemetry
from traceguard.units import parse_switch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import polars as pl

    from traceguard.model import Report
    from traceguard.server.questions.analyses import Analyses, Question
    from traceguard.server.watch.telemetry import Telemetry
    from traceguard.settings import Settings

_WINDOW = ("since", "until", "env")
_COHORTS = ("reference", "attribute", "where")
_REPEATABLE = (*_COHORTS, "read_by", "slo")  # each may be given several times

# Route, the pipeline's function, the options it takes.
_QUESTIONS = {
    "report": (
        "report",
        (
            "baseline",
            "candidate",
            "flag",
            "service",
            "entry",
            "unit",
            "alpha",
            "ignore_watermark",
            "live",
            "pictures",
            *_COHORTS,
            *_WINDOW,
        ),
    ),
    "graph": ("graph", ("level", "every", "sketches", "baseline", "candidate", *_WINDOW)),
    "blast-radius": ("blast_radius", ("service", "operation", "flag", "read_by", "attribute", "time_zone", *_WINDOW)),
    "what-if": (
        "what_if",
        ("service", "operation", "delay", "error_rate", "flag", "exposure", "slo", "largest", *_WINDOW),
    ),
    "plan": (
        "plan",
        (
            "service",
            "operation",
            "flag",
            "read_by",
            "delay",
            "error_rate",
            "power",
            "alpha",
            "steps",
            "most_users",
            "step_time",
            "fixed",
            *_WINDOW,
        ),
    ),
}

# Functions of the pipeline that follow the team's settings.
_WITH_SETTINGS = {"report", "blast_radius", "what_if", "plan"}

_NEEDED = {"what-if": ("service", "flag")}  # one of them


# Rows as they are, types and all; the other formats of a query are text.
_TABLES = {"arrow": "application/vnd.apache.arrow.stream", "parquet": "application/vnd.apache.parquet"}


class Api:
    """The routes below `/api` over the store behind `analyses`."""

    def __init__(
        self, analyses: "Analyses", settings: "Settings", telemetry: "Telemetry | None" = None,
        given: "Callable[[Question, Report, str], None] | None" = None,
    ) -> None:  # fmt: skip
        self._analyses = analyses
        self._settings = settings
        self._telemetry = telemetry
        self._given = given  # hears of each report, with the address that asked for it

    def routes(self) -> list[Route]:
        """All of them, to GET."""
        asked = [self._route(f"/api/{kind}", kind, self._question(kind)) for kind in _QUESTIONS]
        return [
            *asked,
            self._route("/api/query/{name}", "query", self._query),
            Route("/api/query", _listing, methods=["GET"]),
            self._route("/api/snapshot", "snapshot", _snapshot),
        ]

    def _route(self, path: str, kind: str, work: "Callable[[Request, Question], Response]") -> Route:
        async def answer(request: Request) -> Response:
            return await answered(self._analyses, self._telemetry, request, path, kind, work)

        return Route(path, answer, methods=["GET"])

    def _question(self, kind: str) -> "Callable[[Request, Question], Response]":
        def work(request: Request, question: "Question") -> Response:
            from traceguard import pipeline
            from traceguard.report import FORMATS, WITH_MAP, WITH_PICTURES

            function, options = _QUESTIONS[kind]
            given = _parameters(request, options, also=("format",))
            wanted = given.pop("format", None)
            ask, result_kind = getattr(pipeline, function), kind
            if kind == "graph":
                result_kind, ask = pipeline.graph_question(given)
            form = _format(result_kind, wanted, FORMATS[result_kind])
            needed = _NEEDED.get(kind, ())
            if needed and not any(name in given for name in needed):
                raise UsageError(f"/api/{kind} needs {' or '.join(needed)}; add {needed[0]}=... to the address.")
            more: dict[str, Any] = {"settings": self._settings} if function in _WITH_SETTINGS else {}
            pictured = kind == "report" and parse_switch(given.pop("pictures", False), "pictures")
            if kind == "report":
                more |= {"draw_map": form in WITH_MAP, "draw_pictures": form in WITH_PICTURES or pictured}
            if "attribute" in given:
                given["attributes"] = given.pop("attribute")
            if "slo" in given:
                from traceguard.radius.objective import parse_objective

                # Texts only: a client must not name files of the server.
                given["slo"] = [parse_objective(text) for text in given["slo"]]
            result = ask(question.store, **given, **more, progress=question.show)
            if kind == "report" and self._given is not None:
                self._given(question, result.document, f"{request.scope['path']}?{request.url.query}")
            return _with_pictures(result) if pictured and form == "json" else _rendered(result, form)

        return work

    def _query(self, request: Request, question: "Question") -> Response:
        from traceguard import pipeline
        from traceguard.report import FORMATS
        from traceguard.store import queries

        name = request.path_params["name"]
        known = [parameter.name for parameter in queries.describe(name).parameters]
        given = _parameters(request, known, also=("format",))
        form = _format("query", given.pop("format", None), (*FORMATS["query"], *_TABLES))
        frame = pipeline.query(question.store, name, **given)
        return Response(_table(frame, form), media_type=_TABLES[form]) if form in _TABLES else _rendered(frame, form)


async def answered(
    analyses: "Analyses",
    telemetry_: "Telemetry | None",
    request: Request,
    route: str,
    kind: str,
    work: "Callable[[Request, Question], Response]",
    refuse: "Callable[[str, int], Response] | None" = None,
) -> Response:
    """The answer of `work` to `request` when its turn has come, traced if asked.

    An error is told as `refuse` tells it, or as `{"error": "..."}`.
    """
    told = refuse or error
    span = None
    if telemetry_ is not None:
        attributes = {"http.request.method": request.method, "http.route": route, "url.path": request.url.path,
                      "url.scheme": request.url.scheme}  # fmt: skip
        span = telemetry_.serving(f"{request.method} {route}", attributes, request.headers)

    def guarded(question: "Question") -> Response:
        try:
            if telemetry_ is None or span is None:
                return work(request, question)
            with telemetry.Stages(telemetry_, span, kind) as stages:
                question.stage = stages
                return work(request, question)
        except TraceguardError as refused:
            return told(str(refused), refused.http_status)
        except Exception as failure:
            if question.store.interrupted:
                raise
            log.failure("question_failed", f"A question ({kind}) failed inside.", failure, question=kind)
            said = f"{type(failure).__name__}: {first_line(failure)}"
            return told(f"traceguard failed inside ({said}); its log shows where.", 500)

    try:
        answer: Response = await analyses.answer(request, kind, guarded)
    except LineFullError as refused:
        answer = told(str(refused), refused.http_status)
        answer.headers["Retry-After"] = str(RETRY_SECONDS)
    except GoneError as gone:
        answer = told(str(gone), gone.http_status)
    if span is not None:
        telemetry.http_answered(span, answer.status_code)
        span.end()
    return answer


def error(sentence: str, status: int) -> Response:
    """A refusal in the API's words."""
    return JSONResponse({"error": sentence}, status)


async def _listing(request: Request) -> Response:
    from traceguard.store import queries

    try:
        _parameters(request, ())
    except UsageError as refused:
        return error(str(refused), refused.http_status)
    return JSONResponse({name: queries.describe(name).description for name in queries.names()})


def _snapshot(request: Request, question: "Question") -> Response:
    _parameters(request, ())
    copy = copies.make(question.store)
    if question.store.interrupted:
        copies.discard(copy.parent)
        question.store.check()
    return copies.Download(copy, f"{question.store.path.stem}-snapshot.duckdb")


def _parameters(request: Request, known: "Iterable[str]", also: "Iterable[str]" = ()) -> dict[str, Any]:
    """The query string as options: dashes or underscores; empty ones (forms send them) left out.

    Each is given at most once, and is a text; those that may be given several times are lists.
    """
    given = [(name.replace("-", "_"), value) for name, value in request.query_params.multi_items()]
    allowed = [*known, *also]
    for name, times in Counter(name for name, _ in given).items():
        if name not in allowed:
            takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise UsageError(f"{request.url.path} has no parameter {name!r}; {takes}.")
        if times > 1 and name not in _REPEATABLE:
            raise UsageError(f"The parameter {name} is given {times} times; give it once.")
    single: dict[str, Any] = {name: value for name, value in given if value}
    several = {
        name: [value for other, value in given if other == name and value] for name in _REPEATABLE if name in single
    }
    return single | several


def _format(kind: str, wanted: str | None, known: "Sequence[str]") -> str:
    form = wanted or "json"
    if form not in known:
        raise UsageError(f"{form!r} is not a format of {kind}; choose one of {', '.join(known)}.")
    return form


def _table(frame: "pl.DataFrame", form: str) -> bytes:
    """A frame as an Arrow IPC stream or a Parquet file, with layouts that every Arrow knows (no string views)."""
    from polars import CompatLevel

    buffer = BytesIO()
    if form == "arrow":
        frame.write_ipc_stream(buffer, compat_level=CompatLevel.oldest())
    else:
        frame.write_parquet(buffer)
    return buffer.getvalue()


def _with_pictures(result: Any) -> Response:
    """A report's document with the pictures of its page beside it, for a client that draws the page itself."""
    from traceguard.report.documents import dump, plain

    pictures = plain(result.pictures) if result.pictures is not None else None
    return Response(dump(plain(result.document) | {"pictures": pictures}), media_type="application/json")


def _rendered(result: Any, form: str) -> Response:
    from traceguard.report import render
    from traceguard.report.formats import CONTENT_TYPES
    from traceguard.report.scripts import content_security_policy

    text = render(result, form)
    headers = {"Content-Security-Policy": content_security_policy(text)} if form == "html" else {}
    return Response(text, headers=headers, media_type=CONTENT_TYPES[form])
