"""Windows of the page: read once for many answers, read anew behind them, let go of when something is removed."""

import time
from collections.abc import Callable, Iterator

import pytest

from traceguard.engine import held as holding
from traceguard.engine.held import HeldWindow
from traceguard.errors import UsageError
from traceguard.server.page import windows as page_windows
from traceguard.server.page.filters import Filters
from traceguard.server.page.windows import Windows
from traceguard.server.questions import analyses as lines
from traceguard.server.questions.analyses import Analyses
from traceguard.server.watch.counters import Counters
from traceguard.settings import Settings
from traceguard.simulate import generate, shop
from traceguard.store import Store, open_store

START_NS = 1_800_000_000_000_000_000
ALL = Filters(last="all")


@pytest.fixture
def store() -> Iterator[Store]:
    """A store with ten minutes of the shop."""
    with open_store(":memory:", mode="write") as opened:
        send(opened)
        yield opened


def send(store: Store, minute: int = 0) -> None:
    """Append ten minutes of the shop."""
    start = START_NS + minute * 60_000_000_000
    store.append([generate(shop(), requests=300, seed=minute, start_ns=start, duration_ns=600_000_000_000).decoded()])


@pytest.fixture
def ask(store: Store) -> Iterator[Callable[..., object]]:
    """Asks for the window that answers rest on; `ask.windows` are those that there are."""
    analyses = Analyses(store, Counters())
    analyses.start()
    windows = Windows(analyses, Settings())

    def of(filters: Filters = ALL) -> object:
        return analyses.submit("ask", lambda question: windows.of(question, filters)[0]).future.result(60)

    of.windows = windows  # type: ignore[attr-defined]
    yield of
    analyses.close(10)


def window(found: object) -> HeldWindow:
    """What was found, which must be held."""
    assert isinstance(found, HeldWindow)
    return found


def test_filters_of_one_stretch_share_a_window(ask: Callable[..., object], store: Store) -> None:
    """Service, flag and entry point ask about the same requests; another stretch does not."""
    first = window(ask())
    send(store, 10)
    assert window(ask(Filters(last="all", service="pricing", flag="new-pricing"))).window is first.window
    assert window(ask(Filters(last="15m"))).window.rows < 2 * first.window.rows
    assert window(ask(Filters(last="15m"))).window is not first.window


def test_a_new_one_is_read_behind_the_answers(
    ask: Callable[..., object], store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An old window still answers; asked to renew it, the next answer rests on a newer one."""
    windows: Windows = ask.windows  # type: ignore[attr-defined]
    first = window(ask())
    send(store, 10)
    windows.renew(ALL)
    assert window(ask()).window is first.window  # a minute has not passed
    monkeypatch.setattr(page_windows, "_RENEWED_SECONDS", 0.0)
    monkeypatch.setattr(lines, "_QUIET_SECONDS", 0.0)  # this one asks without a pause
    windows.renew(ALL)
    until = time.monotonic() + 60
    while window(ask()).window is first.window:
        assert time.monotonic() < until
        time.sleep(0.05)
    assert window(ask()).window.rows > first.window.rows


def test_memory_is_given_back_though_nobody_comes_again(
    ask: Callable[..., object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that no answer may rest on any more is let go of, by itself."""
    monkeypatch.setattr(page_windows, "OLDEST_SECONDS", 0.1)
    monkeypatch.setattr(page_windows, "_PAUSE_SECONDS", 0.05)
    windows: Windows = ask.windows  # type: ignore[attr-defined]
    window(ask())
    until = time.monotonic() + 60
    while windows._latest:
        assert time.monotonic() < until
        time.sleep(0.05)


def test_none_outlives_a_removal(ask: Callable[..., object]) -> None:
    """Told that something was removed, it reads anew."""
    windows: Windows = ask.windows  # type: ignore[attr-defined]
    first = window(ask())
    windows.let_go()
    assert window(ask()).window is not first.window


def test_what_is_too_large_is_asked_of_the_store(ask: Callable[..., object], monkeypatch: pytest.MonkeyPatch) -> None:
    """Then an answer takes longer, and memory stays bounded."""
    monkeypatch.setattr(holding, "MOST_SPANS", 100)
    assert not isinstance(ask(), HeldWindow)


def test_an_empty_store_says_so() -> None:
    """There is nothing to hold."""
    with open_store(":memory:", mode="write") as empty:
        analyses = Analyses(empty, Counters())
        analyses.start()
        asked = analyses.submit("ask", lambda question: Windows(analyses, Settings()).of(question, ALL))
        with pytest.raises(UsageError, match="holds no span"):
            asked.future.result(60)
        analyses.close(10)
