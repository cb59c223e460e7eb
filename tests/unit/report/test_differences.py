"""What differs between two graphs, as text, Mermaid, DOT and a page."""

from types import ModuleType

from traceguard.report import Difference, render


def test_text_says_what_differs_and_how_many_requests_stand_behind_it(documents: ModuleType) -> None:
    """Each change has a word, calls per request on both sides, and the head has the requests."""
    text = render(Difference(documents.graph_diff()), "text", width=120)
    assert text.startswith("1 new, 1 vanished, 1 changed, 1 not seen on one side dependencies differ, 11 are as before")
    assert "4,100 requests in the baseline, 3,900 in the candidate" in text
    rows = {line.split()[1]: line for line in text.splitlines() if line.strip().startswith("checkout")}
    assert "- → 2" in rows["fraud"]
    assert "vanished" in rows["legacy"]
    assert "2 → -" in rows["legacy"]
    assert "2 → 2" in rows["pricing"]


def test_nothing_that_differs_is_said_in_a_line(documents: ModuleType) -> None:
    """No tables without rows."""
    text = render(Difference(documents.graph_diff(nodes=[], edges=[])), "text")
    assert text.splitlines()[0] == "No dependencies differ, 11 are as before"
    assert len(text.splitlines()) == 2


def test_diagrams_escape_names_and_colour_changes(documents: ModuleType) -> None:
    """New is green and vanished red; a name never ends a label."""
    result = Difference(documents.graph_diff())
    mermaid, dot = render(result, "mermaid"), render(result, "dot")
    assert "fraud <check>" not in mermaid
    assert 'n1["fraud #60;check#62; #40;new#41;"]' in mermaid
    assert "linkStyle 0 stroke:#1a7f37" in mermaid
    assert '"checkout" -> "legacy" [label="vanished, 2 to - calls per request", color="#b42318"' in dot
    assert "style=dashed" in dot


def test_a_large_difference_draws_its_busiest_edges(documents: ModuleType) -> None:
    """GitHub refuses more than 500 edges; the diagram says what it leaves out."""
    edges = [documents.edge_change(target=f"s{n}", candidate=documents.traffic(calls=n + 1)) for n in range(450)]
    text = render(Difference(documents.graph_diff(edges=edges)), "mermaid")
    assert "the 400 busiest of 450 differences" in text
    assert text.count("-->") == 400
    assert '"s449"' in text
    assert '"s49"' not in text


def test_the_page_escapes_names(documents: ModuleType) -> None:
    """The tables stand in a page that loads nothing."""
    page = render(Difference(documents.graph_diff()), "html")
    assert "fraud &lt;check&gt;" in page
    assert "fraud <check>" not in page
