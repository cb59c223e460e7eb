"""The addresses of the live page, and how each is answered: filters read, a turn waited for, errors told in place.

A view is drawn at once from cheap queries. What takes longer is a part of its own below `/part`, which the page's
script fetches; without scripts the link `wait=1` gives the view with the part in it.
"""

import gzip
from functools import cache
from typing import TYPE_CHECKING

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from traceguard.errors import UsageError
from traceguard.report import live
from traceguard.server.page import ask, causes, compare, history, overview, requests, service_map
from traceguard.server.page.filters import Filters
from traceguard.server.page.verdicts import Verdicts
from traceguard.server.page.visit import Place, Visit, refused
from traceguard.server.page.windows import Windows
from traceguard.server.questions.api import answered

if TYPE_CHECKING:
    from collections.abc import Callable

    from traceguard.server.page.verdicts import Judged
    from traceguard.server.questions.analyses import Analyses, Question
    from traceguard.server.watch.telemetry import Telemetry

    Draw = Callable[[Visit], str]

# Address, parameters of its own, how it is drawn, and whether it shows a report.
_VIEWS: tuple[tuple[str, tuple[str, ...], "Draw", bool], ...] = (
    ("/", (), overview.view, True),
    ("/causes", (), causes.view, True),
    ("/causes/{rank:int}", (), causes.one, True),
    ("/map", (), service_map.view, True),
    ("/requests", requests.PARAMETERS, requests.view, False),
    ("/requests/{trace_id}", (), requests.one, False),
    ("/compare", compare.PARAMETERS, compare.view, False),
    ("/blast-radius", ask.PARAMETERS["blast-radius"], ask.view, False),
    ("/what-if", ask.PARAMETERS["what-if"], ask.view, False),
    ("/plan", ask.PARAMETERS["plan"], ask.view, False),
    ("/history", (), history.view, False),
)
_PARTS: tuple[tuple[str, tuple[str, ...], "Draw", bool], ...] = (
    ("/part/verdict", (), overview.verdict, True),
    ("/part/causes", (), causes.listed, True),
    ("/part/causes/{rank:int}", (), causes.drawn, True),
    ("/part/map", (), service_map.drawn, True),
    ("/part/blast-radius", ask.PARAMETERS["blast-radius"], ask.answer, False),
    ("/part/what-if", ask.PARAMETERS["what-if"], ask.answer, False),
    ("/part/plan", ask.PARAMETERS["plan"], ask.answer, False),
)
# Forms may name what is yet to come, and the pipeline says for itself what is wrong with a name.
_UNCHECKED = ("/blast-radius", "/what-if", "/plan", "/part/", "/history")
_DAY = 86_400


class LivePage:
    """The page over the store behind `analyses`."""

    def __init__(self, analyses: "Analyses", place: Place, telemetry: "Telemetry | None" = None) -> None:
        self._analyses = analyses
        self._place = place
        self._telemetry = telemetry
        self._windows = Windows(analyses, place.settings)
        self.verdicts = Verdicts(analyses, self._windows, place.settings, place.history)

    def routes(self) -> list[Route]:
        """All of them, to GET."""
        views = [self._route(*each, part=False) for each in _VIEWS]
        parts = [self._route(*each, part=True) for each in _PARTS]
        return [*views, *parts, Route("/static/{name}", _static, methods=["GET"])]

    def let_go(self) -> None:
        """Forget what was read from the store: something was removed from it."""
        self._windows.let_go()
        self.verdicts.let_go()

    def _route(self, path: str, own: tuple[str, ...], draw: "Draw", judged: bool, *, part: bool) -> Route:
        async def answer(request: Request) -> Response:
            try:
                filters = Filters.of(request, own)
            except UsageError as refused:
                return _refusal(request, Filters(), part)(str(refused), refused.http_status)
            found: Judged | None = None
            if judged:
                found = self.verdicts.latest(filters)
                if part or (found is None and request.query_params.get("wait")):
                    found = await self.verdicts.fresh(filters)
                    if part and found is None:
                        return HTMLResponse("", 202, headers={"Retry-After": "1"})

            def work(request: Request, question: "Question") -> Response:
                with question.store.cursor() as cursor:
                    visit = Visit(self._place, request, question, cursor, filters, found, self._windows)
                    if not path.startswith(_UNCHECKED):
                        visit.check()
                    return _page(draw(visit))

            refusal = _refusal(request, filters, part)
            return await answered(self._analyses, self._telemetry, request, path, "page", work, refusal)

        return Route(path, answer, methods=["GET"])


def _page(text: str, status: int = 200) -> Response:
    return HTMLResponse(text, status, headers={"Content-Security-Policy": live.POLICY})


def refusal_page(sentence: str, status: int, path: str = "/", filters: Filters | None = None) -> Response:
    """A page that says what cannot be shown, and leads to the views."""
    return _page(live.view("error", refused(path, filters or Filters()), sentence=sentence), status)


def _refusal(request: Request, filters: Filters, part: bool) -> "Callable[[str, int], Response]":
    def refuse(sentence: str, status: int) -> Response:
        if part:
            return _page(live.part("refused", sentence=sentence), status)
        here = "/" + request.scope["path"].split("/")[1]
        return refusal_page(sentence, status, here, filters)

    return refuse


async def _static(request: Request) -> Response:
    """A file of the page. Its address changes with it, so a browser may keep it."""
    found = live.served().get(request.path_params["name"])
    if found is None:
        return Response("There is no such file.\n", 404, media_type="text/plain")
    headers = {"Cache-Control": f"private, max-age={_DAY}, immutable", "Vary": "Accept-Encoding"}
    content = found[0].encode()
    if "gzip" in request.headers.get("accept-encoding", ""):
        content, headers["Content-Encoding"] = _packed(content), "gzip"
    return Response(content, headers=headers, media_type=found[1])


@cache
def _packed(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)
