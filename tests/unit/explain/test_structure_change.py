"""Structure changes: where calls vanish or appear, who is to blame, and what is no change at all."""

from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
from builders.requests import Span, linked_of

from traceguard.explain.structure_change import StructureChange, structure_changes
from traceguard.traces.critical_path import callees
from traceguard.traces.link import Linked
from traceguard.traces.structure import blocks_of, structure_of
from traceguard.units import Period

BASELINE, CANDIDATE = Period(0, 1_000_000), Period(1_000_000, 2_000_000)
REQUESTS = 120  # of each period

Tree = tuple[str, str, list["Tree"]]  # service, operation, children one after another
Request = Callable[[bool, np.random.Generator], Tree]


def call(caller: str, service: str, operation: str, *children: Tree) -> Tree:
    """A call of another service: the client's span with the server's below it."""
    return (caller, f"call {operation}", [(service, operation, list(children))])


def recorded(request: Request, seed: int = 1) -> Linked:
    """Both periods' requests; `request` gets whether it runs in the candidate."""
    random, spans = np.random.default_rng(seed), []
    for trace in range(2 * REQUESTS):
        late = trace >= REQUESTS
        start = int(random.integers(1_000_000)) + late * 1_000_000
        spans += laid_out(request(late, random), start, trace + 1)
    return linked_of(spans)


def laid_out(tree: Tree, start: int, trace: int) -> list[Span]:
    """The spans of one request, siblings one after another."""
    ids, spans = count(1), []

    def place(node: Tree, parent: int | None, begin: int) -> int:
        service, operation, children = node
        mine, now = next(ids), begin + 1
        for child in children:
            now = place(child, mine, now) + 1
        kind = "client" if operation.startswith("call ") else "server" if parent is None or children else "internal"
        kind = "server" if operation.startswith("serve ") else kind
        spans.append(Span(mine, parent, service, begin, now, operation, kind, trace=trace))
        return now

    place(tree, None, start)
    return spans


def changes(linked: Linked) -> list[StructureChange]:
    """What holds at 5%."""
    begun = linked.start[linked.root]
    structure = structure_of(linked, callees(linked), blocks_of(begun, BASELINE, CANDIDATE))
    return [c for c in structure_changes(structure, linked.names, 0.05) if c.holds]


def place_of(linked: Linked, change: StructureChange) -> tuple[str, str | None]:
    """Operations of the caller and of the call."""
    operations = [operation for _, operation in linked.names.operations]
    return operations[change.parent], operations[change.after] if change.after >= 0 else None


def suspects(linked: Linked, change: StructureChange) -> Iterator[tuple[str, str]]:
    """Services and loci to blame."""
    for component in change.suspects:
        service, _, locus = linked.names.component(component)
        yield service, locus


def test_an_early_return_is_found_where_it_happens_and_not_above() -> None:
    """The callee stops before its query; the gateway, which then does not go on to mail, only follows."""

    def request(late: bool, random: np.random.Generator) -> Tree:
        early = late and random.random() < 0.5
        order = call("gate", "orders", "serve order", *([] if early else [("orders", "query", [])]))
        return ("gate", "serve /", [order] if early else [order, call("gate", "mail", "serve mail")])

    linked = recorded(request)
    found = changes(linked)
    assert [place_of(linked, c) for c in found] == [("serve order", None)]
    change = found[0]
    assert change.lost
    assert change.low <= -0.5 <= change.high
    assert (change.reference, change.observed > 0.3) == (0.0, True)
    assert list(suspects(linked, change)) == [("orders", "self")]


def test_a_callee_after_which_several_services_stop_is_to_blame() -> None:
    """Both callers stop after the callee's answer, whose calls are as ever: the callee first, then the caller."""

    def request(late: bool, random: np.random.Generator) -> Tree:
        def caller(name: str) -> Tree:
            broken = late and random.random() < 0.6
            rest = [] if broken else [(name, f"{name} store", [])]
            return call("gate", name, f"serve {name}", call(name, "price", "serve price"), *rest)

        return ("gate", "serve /", [caller("cart"), caller("quote")])

    linked = recorded(request)
    found = [c for c in changes(linked) if c.lost]
    assert {place_of(linked, c) for c in found} == {("serve cart", "serve price"), ("serve quote", "serve price")}
    assert {next(suspects(linked, c)) for c in found} == {("price", "self")}


def test_one_caller_that_stops_is_to_blame_before_its_callee() -> None:
    """Nothing shows that the callee changed, so its only caller comes first."""

    def request(late: bool, _: np.random.Generator) -> Tree:
        rest = [] if late else [("cart", "store", [])]
        return ("cart", "serve cart", [call("cart", "price", "serve price"), *rest])

    linked = recorded(request)
    (change,) = changes(linked)
    assert list(suspects(linked, change)) == [("cart", "self"), ("price", "self")]


def test_another_mix_of_requests_is_no_change() -> None:
    """An operation that calls on according to how it was reached is the same code, however often that is."""

    def request(late: bool, random: np.random.Generator) -> Tree:
        ads = random.random() < (0.1 if late else 0.9)
        before = [("front", "category", [])] if ads else []
        shown = call("front", "ads", "serve ads", *([("ads", "by category", [])] if ads else []))
        return ("front", "serve /", [("front", "page", [*before, shown])])

    linked = recorded(request)
    assert not changes(linked)


def test_parallel_calls_may_finish_in_another_order() -> None:
    """That one of them got slower is no change of what follows what."""
    spans = []
    for trace in range(1, 2 * REQUESTS + 1):
        late = trace > REQUESTS
        begun = (trace - 1) * (1_000_000 // REQUESTS)
        slow, fast = (400, 300) if late else (100, 300)
        spans += [
            Span(1, None, "gate", begun, begun + 500, "serve /", "server", trace=trace),
            Span(2, 1, "gate", begun + 10, begun + 10 + slow, "price", "internal", trace=trace),
            Span(3, 1, "gate", begun + 12, begun + 12 + fast, "stock", "internal", trace=trace),
        ]
    assert not changes(linked_of(spans))


def test_new_calls_are_found_too() -> None:
    """A caller that now writes what it read makes a call a request more."""

    def request(late: bool, _: np.random.Generator) -> Tree:
        return ("cart", "serve cart", [("cart", "read", []), *([("cart", "write", [])] if late else [])])

    linked = recorded(request)
    (change,) = changes(linked)
    assert place_of(linked, change) == ("serve cart", "read")
    assert not change.lost
    assert change.low <= 1.0 <= change.high


def test_calls_that_no_longer_arrive_are_the_callees() -> None:
    """The client's span is there, the server's is not: the way into the callee comes first."""

    def request(late: bool, random: np.random.Generator) -> Tree:
        lost = late and random.random() < 0.7
        return ("cart", "serve cart", [("cart", "call price", [] if lost else [("price", "serve price", [])])])

    linked = recorded(request)
    found = changes(linked)
    assert [place_of(linked, c) for c in found] == [("call price", None)]
    assert list(suspects(linked, found[0])) == [("price", "inbound"), ("cart", "self")]


def test_the_same_code_on_both_sides_seldom_holds() -> None:
    """Of 60 comparisons in which nothing changed, no more have a finding than alpha allows for."""

    def request(_: bool, random: np.random.Generator) -> Tree:
        kinds = [("a", f"step {k}", [("a", f"sub {k}", [])] * int(random.integers(2))) for k in range(4)]
        return ("a", "serve a", kinds[: int(random.integers(5))])

    false = sum(bool(changes(recorded(request, seed))) for seed in range(60))
    assert false <= 7  # 5% of 60 is 3; more than 7 has a chance of 1%
