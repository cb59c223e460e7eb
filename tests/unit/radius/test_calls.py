"""Which spans stand for a call of the target."""

from builders.requests import Span, linked_of

from traceguard.radius.calls import calls_of, members, visits_of


def calls(spans: list[Span], service: str, operation: str | None = None) -> set[int]:
    """Give the ids of the spans that stand for calls; ids ascend with the start, as rows do."""
    linked = linked_of(spans)
    call, _ = calls_of(linked, visits_of(linked), members(linked, service, operation))
    return {i + 1 for i in range(len(spans)) if call[i]}


def test_server_span_stands_for_the_call() -> None:
    """Spans below the server's own are part of the same call."""
    spans = [
        Span(1, None, "web", 0, 90),
        Span(2, 1, "web", 1, 80, kind="client"),
        Span(3, 2, "pricing", 2, 70),
        Span(4, 3, "pricing", 3, 60, kind="internal"),
        Span(5, 3, "pricing", 61, 65, kind="client"),
    ]
    assert calls(spans, "pricing") == {3}
    assert calls(spans, "web") == {1}


def test_topmost_span_stands_in_where_kinds_are_missing() -> None:
    """Without a server span the visit's first span is the call."""
    spans = [
        Span(1, None, "web", 0, 90, kind="unspecified"),
        Span(2, 1, "pricing", 2, 70, kind="unspecified"),
        Span(3, 2, "pricing", 3, 60, kind="unspecified"),
    ]
    assert calls(spans, "pricing") == {2}


def test_service_that_calls_itself_is_entered_twice() -> None:
    """A server span below a client span of the same service is a call of its own; a nested server span is not."""
    spans = [
        Span(1, None, "web", 0, 90),
        Span(2, 1, "web", 1, 80, kind="server"),
        Span(3, 2, "web", 2, 70, kind="client"),
        Span(4, 3, "web", 3, 60, kind="server"),
    ]
    assert calls(spans, "web") == {1, 4}


def test_each_message_of_a_poll_is_a_call() -> None:
    """Where a visit has consumer spans, they are the calls, not the loop around them."""
    spans = [
        Span(1, None, "mailer", 0, 90, kind="internal"),
        Span(2, 1, "mailer", 1, 20, kind="consumer"),
        Span(3, 1, "mailer", 30, 40, kind="consumer"),
    ]
    assert calls(spans, "mailer") >= {2, 3}


def test_operation_narrows_the_target() -> None:
    """An inner operation is called where it is topmost, not again inside itself."""
    spans = [
        Span(1, None, "web", 0, 90, operation="GET /"),
        Span(2, 1, "web", 1, 40, operation="render", kind="internal"),
        Span(3, 2, "web", 2, 30, operation="render", kind="internal"),
        Span(4, 1, "web", 50, 80, operation="render", kind="internal"),
    ]
    assert calls(spans, "web", "render") == {2, 4}
    assert calls(spans, "web", "nothing") == set()
    assert calls(spans, "nobody") == set()


def test_evaluation_spans_are_no_calls() -> None:
    """A span that only records a flag evaluation neither is a call nor parts a visit."""
    spans = [Span(1, None, "web", 0, 90), Span(2, 1, "flags", 1, 2, evaluation=True, kind="internal")]
    assert calls(spans, "flags") == set()
