"""The questions of the command line as GET routes: the same options, documents and words in errors.

Each request runs in a worker thread on a cursor of its own, so that exports are taken meanwhile. 200 answers stand
where the command exits with 0, 3, 4 or 5; errors are `{"error": "..."}` with the status of their branch of the error
tree.
"""

import asyncio
import shutil
import tempfile
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

from starlette.background import BackgroundTask
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Route

from traceguard.errors import TraceguardError, UsageError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterable

    from traceguard.settings import Settings
    from traceguard.store import Store

_WINDOW = ("since", "until", "env")

# Route, the pipeline's function, the options it takes.
_QUESTIONS = {
    "report": ("report", ("baseline", "candidate", "flag", "service", "entry", "unit", "alpha", *_WINDOW)),
    "graph": ("graph", _WINDOW),
    "blast-radius": ("blast_radius", ("service", "operation", "flag", *_WINDOW)),
    "what-if": ("what_if", ("service", "operation", "delay", "error_rate", "exposure", *_WINDOW)),
}

# Functions of the pipeline that follow the team's settings.
_WITH_SETTINGS = {"report", "blast_radius", "what_if"}

_NEEDED = {"what-if": ("service",)}


class Api:
    """The routes below `/api` over one store."""

    def __init__(self, store: "Store", settings: "Settings", pool: ThreadPoolExecutor) -> None:
        self._store = store
        self._settings = settings
        self._pool = pool

    def routes(self) -> list[Route]:
        """All of them, to GET."""
        asked = [Route(f"/api/{kind}", self._question(kind), methods=["GET"]) for kind in _QUESTIONS]
        return [
            *asked,
            Route("/api/query/{name}", self._answer(self._query), methods=["GET"]),
            Route("/api/query", self._answer(self._listing), methods=["GET"]),
            Route("/api/snapshot", self._answer(self._snapshot), methods=["GET"]),
        ]

    def _question(self, kind: str) -> "Callable[[Request], Awaitable[Response]]":
        def ask(request: Request) -> Response:
            from traceguard import pipeline
            from traceguard.report import WITH_MAP

            function, options = _QUESTIONS[kind]
            given = _parameters(request, options, also=("format",))
            form = _format(kind, given.pop("format", None))
            missing = [name for name in _NEEDED.get(kind, ()) if name not in given]
            if missing:
                raise UsageError(f"/api/{kind} needs {missing[0]}; add {missing[0]}=... to the address.")
            more: dict[str, Any] = {"settings": self._settings} if function in _WITH_SETTINGS else {}
            if kind == "report":
                more["draw_map"] = form in WITH_MAP
            result = getattr(pipeline, function)(self._store, **given, **more)
            return _rendered(result, form)

        return self._answer(ask)

    def _query(self, request: Request) -> Response:
        from traceguard import pipeline
        from traceguard.store import queries

        name = request.path_params["name"]
        known = [parameter.name for parameter in queries.describe(name).parameters]
        given = _parameters(request, known, also=("format",))
        form = _format("query", given.pop("format", None))
        return _rendered(pipeline.query(self._store, name, **given), form)

    def _listing(self, request: Request) -> Response:
        from traceguard.store import queries

        _parameters(request, ())
        return JSONResponse({name: queries.describe(name).description for name in queries.names()})

    def _snapshot(self, request: Request) -> Response:
        _parameters(request, ())
        beside = self._store.path.absolute().parent
        folder = Path(tempfile.mkdtemp(prefix=".snapshot-", dir=beside if beside.is_dir() else None))
        copy = folder / "snapshot.duckdb"
        try:
            self._store.snapshot(copy)
        except BaseException:
            shutil.rmtree(folder)
            raise
        return FileResponse(
            copy,
            media_type="application/vnd.duckdb",
            filename=f"{self._store.path.stem}-snapshot.duckdb",
            background=BackgroundTask(shutil.rmtree, folder),
        )

    def _answer(self, work: "Callable[[Request], Response]") -> "Callable[[Request], Awaitable[Response]]":
        async def answer(request: Request) -> Response:
            return await asyncio.get_running_loop().run_in_executor(self._pool, guarded, work, request)

        return answer


def error(sentence: str, status: int) -> Response:
    """A refusal in the API's words."""
    return JSONResponse({"error": sentence}, status)


def guarded(work: "Callable[[Request], Response]", request: Request) -> Response:
    """The answer of `work`, or its error as `{"error": "..."}`."""
    try:
        return work(request)
    except TraceguardError as refused:
        return error(str(refused), refused.http_status)
    except Exception as failure:  # noqa: BLE001  (the server goes on; the person gets a sentence, the log the rest)
        traceback.print_exc()
        first = (str(failure).splitlines() or ["no message"])[0]
        return error(f"traceguard failed inside ({type(failure).__name__}: {first}); its log shows where.", 500)


def _parameters(request: Request, known: "Iterable[str]", also: "Iterable[str]" = ()) -> dict[str, str]:
    """The query string as options: dashes or underscores, each at most once; empty ones (forms send them) left out."""
    given = [(name.replace("-", "_"), value) for name, value in request.query_params.multi_items()]
    allowed = [*known, *also]
    for name, times in Counter(name for name, _ in given).items():
        if name not in allowed:
            takes = f"it takes {', '.join(allowed)}" if allowed else "it takes none"
            raise UsageError(f"{request.url.path} has no parameter {name!r}; {takes}.")
        if times > 1:
            raise UsageError(f"The parameter {name} is given {times} times; give it once.")
    return {name: value for name, value in given if value}


def _format(kind: str, wanted: str | None) -> str:
    from traceguard.report import FORMATS

    form = wanted or "json"
    if form not in FORMATS[kind]:
        raise UsageError(f"{form!r} is not a format of {kind}; choose one of {', '.join(FORMATS[kind])}.")
    return form


def _rendered(result: Any, form: str) -> Response:
    from traceguard.report import render
    from traceguard.report.formats import CONTENT_TYPES
    from traceguard.report.scripts import content_security_policy

    text = render(result, form)
    headers = {"Content-Security-Policy": content_security_policy(text)} if form == "html" else {}
    return Response(text, headers=headers, media_type=CONTENT_TYPES[form])
