"""The API before a crowd."""

import asyncio
import threading
from collections.abc import Iterator

import httpx
import pytest
from starlette.applications import Starlette

from traceguard.server.questions.analyses import Analyses
from traceguard.server.questions.api import Api
from traceguard.server.watch.counters import Counters
from traceguard.settings import Settings
from traceguard.store import open_store


@pytest.fixture
def analyses() -> Iterator[Analyses]:
    """A line of one behind one, over an empty store."""
    with open_store(":memory:", mode="write") as store:
        made = Analyses(store, Counters(), at_once=1, line=1)
        made.start()
        yield made
        made.stop()
        made.close(10)


def _get(analyses: Analyses, target: str) -> httpx.Response:
    async def get() -> httpx.Response:
        app = httpx.ASGITransport(Starlette(routes=Api(analyses, Settings()).routes()))
        async with httpx.AsyncClient(transport=app, base_url="http://127.0.0.1") as client:
            return await client.get(target)

    return asyncio.run(get())


def test_a_full_line_says_when_to_come_again(analyses: Analyses) -> None:
    """Beyond the line a question gets 503 with Retry-After and a sentence; the list of queries needs no turn."""
    go = threading.Event()
    for _ in range(2):
        analyses.submit("graph", lambda _: go.wait(30))
    answer = _get(analyses, "/api/graph")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "1 more wait already" in answer.json()["error"]
    assert _get(analyses, "/api/query").status_code == 200
    go.set()


def test_a_question_after_its_turn_is_answered(analyses: Analyses) -> None:
    """Who waits in the line is answered when the turn comes."""
    go = threading.Event()
    analyses.submit("graph", lambda _: go.wait(30))
    threading.Timer(0.2, go.set).start()
    answer = _get(analyses, "/api/graph")
    assert (answer.status_code, answer.json()["nodes"]) == (200, [])


def test_a_server_that_stops_says_so(analyses: Analyses) -> None:
    """A question that comes during a stop is to be asked again."""
    analyses.stop()
    answer = _get(analyses, "/api/graph")
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "stopping" in answer.json()["error"]
