"""The graph as Mermaid, DOT and SVG."""

from itertools import pairwise
from types import ModuleType
from xml.etree import ElementTree as ET

import networkx as nx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceguard.report import render
from traceguard.report.diagrams import mermaid
from traceguard.report.layers import place_nodes
from traceguard.report.service_map import damage, draw

SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = '"]<script>alert(1)</script>\\"; x -> y\n'


def _graph(*edges: tuple[str, str]) -> nx.DiGraph:
    graph = nx.DiGraph()
    for source, target in edges:
        graph.add_edge(source, target, kind="sync", calls=1, kinds={"sync": {"kind": "sync", "calls": 1}})
    return graph


def test_mermaid_names_nodes_by_number_and_shows_kinds(documents: ModuleType) -> None:
    """Labels are quoted, asynchronous edges dotted, databases round."""
    text = render(documents.graph(), "mermaid")
    assert text.startswith('flowchart LR\n  n0["frontend"]\n')
    assert 'n8[("postgres")]' in text
    assert 'n1 -.->|"8,200 calls, p95 14 ms"| n10' in text


def test_mermaid_draws_the_busiest_edges_of_a_large_graph() -> None:
    """GitHub draws at most 500 edges; the text says that some are left out."""
    graph = _graph(*((f"s{n}", f"s{n + 1}") for n in range(600)))
    text = mermaid(graph)
    assert text.count("-->") == 400
    assert "%% the 400 busiest of 600" in text


def test_hostile_names_stay_labels() -> None:
    """No quote, tag, bracket or line break of a name reaches the language around it."""
    graph = _graph((HOSTILE, "b"))
    text = render(graph, "mermaid")
    assert "<script>" not in text
    assert len(text.strip().split("\n")) == 4
    dot = render(graph, "dot")
    assert '"\\"]<script>alert(1)</script>\\\\\\"; x -> y\ufffd" -> "b"' in dot
    assert "<script>" not in draw(graph)


def test_the_map_is_svg_with_every_node_and_edge(documents: ModuleType) -> None:
    """The picture parses, and shows names, numbers and kinds."""
    shop = documents.graph()
    root = ET.fromstring(draw(shop).replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))  # noqa: S314
    assert len(root.findall(f"{SVG}g")) == shop.number_of_nodes()
    assert len([p for p in root.findall(f"{SVG}path") if "edge" in str(p.get("class"))]) == shop.number_of_edges()
    assert "26k spans, 0.73% err" in [t.text for t in root.iter(f"{SVG}text")]


def test_the_way_to_a_cause_is_marked(documents: ModuleType) -> None:
    """Edges from the entry's service to the cause's are red, the cause carries its effect."""
    shop = documents.graph()
    found = damage(shop, {"pricing": "+84.2 ms", "gone": "x"}, {"pricing": ["frontend"]})
    assert len(found.path) == 2
    assert set(found.notes) == {"pricing"}
    svg = draw(shop, found)
    assert svg.count('class="edge sync hurt"') == 2
    assert "+84.2 ms" in svg


def test_an_empty_graph_has_no_picture() -> None:
    """Nothing to draw is nothing."""
    assert draw(nx.DiGraph()) == ""


def test_a_large_graph_keeps_the_busiest_and_the_blamed() -> None:
    """Eighty nodes at most, the blamed one among them."""
    graph = _graph(*(("hub", f"s{n}") for n in range(200)))
    svg = draw(graph, damage(graph, {"s199": "+1 ms"}, {"s199": ["hub"]}))
    assert svg.count('<g class="node') == 80
    assert "s199" in svg


NAMES = st.sampled_from("abcdefghij")


@given(st.lists(st.tuples(NAMES, NAMES), max_size=30))
def test_any_graph_is_laid_out_without_overlap(edges: list[tuple[str, str]]) -> None:
    """Cycles, loops and islands: every node has its own place, every edge its way between its ends."""
    graph = _graph(*edges)
    placed = place_nodes(graph)
    assert set(placed.at) == set(graph.nodes)
    assert set(placed.ways) == set(graph.edges)
    for (source, target), way in placed.ways.items():
        assert (way[0], way[-1]) == (placed.at[source], placed.at[target])
    rows: dict[int, list[float]] = {}
    for layer, row in placed.at.values():
        rows.setdefault(layer, []).append(row)
    for column in rows.values():
        column.sort()
        assert all(b - a >= 0.79 for a, b in pairwise(column))
        assert column[0] >= 0
        assert column[-1] <= placed.rows


@pytest.mark.parametrize("size", [2, 12])
def test_a_chain_runs_from_left_to_right(size: int) -> None:
    """Callers stand left of what they call."""
    placed = place_nodes(_graph(*((f"s{n}", f"s{n + 1}") for n in range(size - 1))))
    assert [placed.at[f"s{n}"][0] for n in range(size)] == list(range(size))
