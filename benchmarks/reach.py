"""Reach of every service of two real systems, held against what is known of one, and what it costs.

    python benchmarks/reach.py RECORDINGS [--system trainticket] [--work FOLDER]

The recordings are Nezha's (see nezha.py): spans without kinds, status or attributes. So no failure can be seen, which
leaves every step untested, and no span names a database: where nothing lies below a service the answer says that it is
unknown. For Online Boutique the callers of each service are compared with those of its architecture as published
(github.com/GoogleCloudPlatform/microservices-demo). The last figures are those of a simulated shop of a million spans.
"""

import argparse
import tempfile
import time
from pathlib import Path

from nezha import SYSTEMS, ingest, load

import traceguard as tg
from traceguard.simulate import generate, shop
from traceguard.store import open_store

# Who calls whom in Online Boutique; carts are kept in Redis, which sends no spans.
CALLERS = {
    "frontend": set(),
    "adservice": {"frontend"},
    "cartservice": {"frontend", "checkoutservice"},
    "checkoutservice": {"frontend"},
    "currencyservice": {"frontend", "checkoutservice"},
    "emailservice": {"checkoutservice", "frontend"},
    "paymentservice": {"checkoutservice", "frontend"},
    "productcatalogservice": {"frontend", "checkoutservice", "recommendationservice"},
    "recommendationservice": {"frontend"},
    "shippingservice": {"frontend", "checkoutservice"},
}
MILLION = 72_000  # requests of the shop


def main() -> None:
    """Load what is there, ask about each service, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="its folder nezha/ may hold the recordings")
    parser.add_argument("--system", choices=[*SYSTEMS, "simulated"], help="only this one")
    parser.add_argument("--work", type=Path, help="folder for the OTLP files and the stores (default: a temporary one)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = arguments.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        for system, stem in SYSTEMS.items():
            recording = arguments.folder / "nezha" / f"{stem}.parquet"
            if arguments.system not in (None, system):
                continue
            if not recording.exists():
                print(f"skipped: {recording} is missing; it is part of Nezha's published data")
                continue
            print(f"== {system}")
            every_service(ingest(load(recording), work, system), CALLERS if system == "onlineboutique" else {})
        if arguments.system in (None, "simulated"):
            print("== a simulated shop of a million spans")
            every_service(simulated(work), {})


def simulated(work: Path) -> Path:
    """A store of the shop."""
    path = work / "shop.duckdb"
    path.unlink(missing_ok=True)
    with open_store(path, mode="write") as store:
        for seed in (1, 2):
            begin = (1_790_000_000 + 3_600 * seed) * 10**9
            made = generate(shop(), requests=MILLION // 2, seed=seed, start_ns=begin, duration_ns=3_600 * 10**9)
            store.append([made.decoded()])
    return path


def every_service(path: Path, known: dict[str, set[str]]) -> None:
    """Print the reach of each service, and whether its callers are the known ones."""
    store = tg.open(path)
    services = tg.query(store, "services")["service"].to_list()
    wrong = 0
    for service in sorted(services):
        began = time.perf_counter()
        found = tg.blast_radius(store, service=service).document
        seconds = time.perf_counter() - began
        reach = found.reach
        print(
            f"{service}: {reach.requests_fraction:.1%} of requests ({reach.low:.1%} to {reach.high:.1%}),"
            f" {reach.traces:,} traces, {len(found.entries)} entry points, {seconds:.2f} s"
        )
        for title, side in (("above", found.upstream), ("below", found.downstream)):
            rows = [f"{n.service} {n.fraction:.1%} ({n.low:.1%} to {n.high:.1%}, {n.kind} {n.depth})" for n in side]
            print(f"    {title}: {'; '.join(rows) or 'nothing seen'}")
        gates = [f"{g.source} to {g.target} {g.kind} {g.stopped} of {g.errors_seen}" for g in found.gates]
        print(f"    gates: {'; '.join(gates) or 'none seen'}; {len(found.untested_edges)} steps never seen failing")
        if found.unknown:
            print(f"    unknown: {'; '.join(f'{u.service} {u.fraction:.1%}' for u in found.unknown)}")
        print(f"    warnings: {', '.join(w.code for w in found.warnings)}")
        if service in known:
            above = {n.service for n in found.upstream}
            missing, more = sorted(known[service] - above), sorted(above - known[service])
            wrong += bool(missing or more)
            differs = f"without {', '.join(missing) or 'none'}, besides {', '.join(more) or 'none'}"
            print(f"    callers as published: {differs if missing or more else 'yes'}")
    if known:
        print(f"callers of {len(services) - wrong} of {len(services)} services are those of the published architecture")
        below = tg.blast_radius(store, service="cartservice").document
        stores = [u.service for u in below.unknown]
        print(f"cartservice reaches its store: {', '.join(stores) or 'it names none in this recording, so unknown'}\n")


if __name__ == "__main__":
    main()
