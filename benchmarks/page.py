"""The live page: seconds to the first view and to each click, in Chromium, while spans come in.

    python benchmarks/page.py [--millions 1] [--rate 2000] [--rounds 5] [--work FOLDER]

A server owns a store of simulated requests of a shop, as in `traces.py`, and gets more of them all the time, `--rate`
spans a second. Chromium opens the first view once before the clock runs, and then goes from view to view by clicks.
`view` is from the click until the next view is drawn, `whole` until the parts are there that come after it (a report,
a what-if). The median and the worst of all rounds are printed; the run fails where a median is over a second.
"""

import argparse
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.request import Request, urlopen

from traces import sample

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from builders.browser import Page, browser

from traceguard.server import Server
from traceguard.simulate import generate, shop
from traceguard.simulate.wire import bodies

GOAL_SECONDS = 1.0
SPANS_A_BODY = 500
READY = "!document.querySelector('[aria-busy=true], [data-state=busy], [data-graph]:not([data-state])')"


def fill(form: str, **values: str) -> str:
    """JavaScript that fills in the fields of a form."""
    return "".join(
        f"document.querySelector('{form} [name={name}]').value = '{value}';" for name, value in values.items()
    )


# Where each click leads from the view before; a form is filled in first.
CLICKS = (
    ("filter", fill(".filters", entry="POST /checkout"), ".filters form button"),
    ("clear", "", ".filters a.clear"),
    ("causes", "", "nav.views a[href^='/causes']"),
    ("one cause", "", ".cause h2 a"),
    ("map", "", "nav.views a[href^='/map']"),
    ("requests", "", "nav.views a[href^='/requests']"),
    ("one request", "", "table.requests td.when a"),
    ("requests again", "", "nav.views a[href^='/requests']"),
    ("two requests", "", "form[action='/compare'] button"),
    ("two groups", fill(".forms > :nth-child(2)", flag="new-pricing"), ".forms > :nth-child(2) button"),
    ("two versions", fill(".forms > :nth-child(3)", service="catalog"), ".forms > :nth-child(3) button"),
    ("what-if form", "", "nav.views a[href^='/what-if']"),
    ("what-if", fill("main", service="pricing", delay="50ms"), "main form button"),
    ("what-if of a flag", fill("main", service="", delay="", flag="new-pricing", exposure="50%"), "main form button"),
    ("radius form", "", "nav.views a[href^='/blast-radius']"),
    ("blast radius", fill("main", service="pricing"), "main form button"),
    ("radius of a flag", fill("main", service="", flag="new-pricing"), "main form button"),
    ("plan form", "", "nav.views a[href^='/plan']"),
    ("plan", fill("main", service="pricing"), "main form button"),
    ("history", "", "nav.views a[href^='/history']"),
    ("overview", "", "a.brand"),
)


def main() -> int:
    """Build the store, serve it, click, print; 1 if a view takes longer than the goal."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recordings", nargs="?", help="not used")
    parser.add_argument("--millions", type=float, default=1.0, help="size of the simulated store")
    parser.add_argument("--rate", type=float, default=2000.0, help="spans a second that come in meanwhile")
    parser.add_argument("--rounds", type=int, default=5, help="how often each click is made")
    parser.add_argument("--work", type=Path, help="folder for the store, kept (default: a temporary one)")
    given = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        print("skipped: there is no Chromium on the path")
        return 0
    seconds: dict[str, list[tuple[float, float]]] = defaultdict(list)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as temporary:
        work = given.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        store = sample(work / f"{given.millions:g}.duckdb", given.millions)
        served = Path(temporary) / "served.duckdb"
        shutil.copyfile(store, served)
        with (
            Server(served, "127.0.0.1:0", "127.0.0.1:0") as server,
            incoming(server.url, given.rate) as sent,
            browser(chromium, Path(temporary)) as running,
        ):
            page = running.page()
            page.size(1280)
            page.open(f"{server.url}/")
            page.wait(READY)
            for _ in range(given.rounds):
                begun = time.perf_counter()
                page.open(f"{server.url}/")
                seconds["first view"].append(ended(page, begun))
                for name, before, selector in CLICKS:
                    page.run(f"window.left = false; {before}")
                    begun = time.perf_counter()
                    page.run(f"document.querySelector({selector!r}).click()")
                    page.wait("window.left === undefined && document.readyState === 'complete'")
                    seconds[name].append(ended(page, begun))
            complaints = page.complaints
    return told(seconds, sum(sent), complaints)


def ended(page: Page, begun: float) -> tuple[float, float]:
    """Seconds since `begun` that the view and the whole of it took."""
    view = time.perf_counter() - begun
    page.wait(READY)
    return view, time.perf_counter() - begun


def told(seconds: dict[str, list[tuple[float, float]]], sent: int, complaints: list[str]) -> int:
    """Print what was measured; 1 if it misses the goal."""
    print(f"{sent:,} spans came in meanwhile")
    print(f"{'':>17} {'view':>8} {'worst':>8} {'whole':>8} {'worst':>8}   seconds")
    slow = []
    for name, runs in seconds.items():
        views, wholes = zip(*runs, strict=True)
        median = statistics.median(wholes)
        print(f"{name:>17} {statistics.median(views):8.2f} {max(views):8.2f} {median:8.2f} {max(wholes):8.2f}")
        slow += [name] if median > GOAL_SECONDS else []
    for complaint in complaints:
        print(f"the browser complained: {complaint}")
    if slow:
        print(f"missed: over {GOAL_SECONDS:g} s: {', '.join(slow)}")
    return int(bool(slow or complaints))


@contextmanager
def incoming(url: str, rate: float) -> Iterator[list[int]]:
    """Send more of the same shop until the block ends; how many spans each body held."""
    stop, sent = threading.Event(), list[int]()
    recording = generate(shop(), requests=20_000, seed=7, start_ns=1_790_001_201 * 10**9, duration_ns=600 * 10**9)

    def send() -> None:
        due = time.monotonic()
        for body in bodies(recording, SPANS_A_BODY):
            if stop.wait(max(due - time.monotonic(), 0.0)):
                return
            due += SPANS_A_BODY / rate
            with urlopen(Request(f"{url}/v1/traces", body, {"Content-Type": "application/x-protobuf"})):  # noqa: S310
                sent.append(SPANS_A_BODY)

    sender = threading.Thread(target=send, daemon=True)
    sender.start()
    try:
        yield sent
    finally:
        stop.set()
        sender.join()


if __name__ == "__main__":
    sys.exit(main())
