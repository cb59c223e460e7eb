"""Bodies decoded together: each exporter gets the answer for its own body, whatever its companions hold."""

import time
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any

import numpy as np
import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from traceguard.errors import InputError
from traceguard.otlp import decode
from traceguard.server.intake import decoder
from traceguard.server.intake.commit import Committer
from traceguard.server.intake.decoder import Accepted, Decoder, Export
from traceguard.server.intake.refusal import Busy, Malformed, NotCommitted
from traceguard.server.watch import log
from traceguard.server.watch.counters import Counters
from traceguard.settings import Settings
from traceguard.store import Store, open_store


def _traces(first: int, spans: int, bad: int = 0) -> bytes:
    request = ExportTraceServiceRequest()
    scope = request.resource_spans.add().scope_spans.add()
    for number in range(first, first + spans):
        scope.spans.add(trace_id=number.to_bytes(16), span_id=number.to_bytes(8), name="GET /")
    for _ in range(bad):
        scope.spans.add(trace_id=b"short", span_id=b"x")
    return request.SerializeToString()


def _log(body: str) -> bytes:
    request = ExportLogsServiceRequest()
    request.resource_logs.add().scope_logs.add().log_records.add().body.string_value = body
    return request.SerializeToString()


class Stages:
    """A decoder before its committer, over a store in memory; nothing runs until `start`."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.counters = Counters()
        self.committer = Committer(store, self.counters)
        self.decoder = Decoder(self.committer, Settings(), self.counters, log.Tally(lambda *_, **__: None))

    def take(self, body: bytes, signal: Any = "traces") -> Future[Accepted]:
        """Queue a body."""
        return self.decoder.submit(Export(np.frombuffer(body, np.uint8), signal))

    def start(self) -> None:
        """Begin with what waits."""
        self.committer.start()
        self.decoder.start()

    def close(self) -> None:
        """Finish both, the first one first."""
        self.decoder.close()
        self.committer.close()

    def count(self, what: str = "count(*) FROM spans") -> int:
        """A number from the store."""
        with self.store.cursor() as cursor:
            return int(cursor.execute(f"SELECT {what}").fetchall()[0][0])


@pytest.fixture
def stages() -> Iterator[Stages]:
    """Both stages, not started; closed at the end. Decoding is compiled before, as no answer waits for that."""
    for signal, body in (("traces", _traces(1, 1)), ("logs", _log("a"))):
        decode(body, encoding="protobuf", signal=signal, settings=Settings())
    with open_store(":memory:", mode="write") as store:
        both = Stages(store)
        yield both
        both.close()


def test_what_waited_too_long_is_told_to_come_again(stages: Stages) -> None:
    """An answer comes in time even if it is a refusal; companions that came later are taken."""
    since = time.monotonic() - decoder.PATIENCE_SECONDS - 1
    late = stages.decoder.submit(Export(np.frombuffer(_traces(1, 3), np.uint8), "traces", since=since))
    in_time = stages.take(_traces(10, 3))
    stages.start()
    assert in_time.result(30) == Accepted()
    with pytest.raises(Busy, match="again in a second"):
        late.result(30)
    assert stages.count() == 3


def test_what_waits_is_decoded_and_committed_together(stages: Stages) -> None:
    """Bodies that wait become one batch of one transaction, and each is answered."""
    answers = [stages.take(_traces(10 * number + 1, 3)) for number in range(20)]
    stages.start()
    assert [answer.result(30) for answer in answers] == [Accepted()] * 20
    assert stages.count() == stages.count("count(DISTINCT trace_id) FROM spans") == 60
    assert stages.counters.value("commits") == 1
    assert stages.counters.value("spans_received") == stages.counters.value("spans_committed") == 60


def test_each_exporter_hears_of_its_own_body(stages: Stages) -> None:
    """A malformed body is refused and one with bad spans told so; what waits with them is taken as if alone."""
    good, cut, partly, also = (
        stages.take(body) for body in (_traces(1, 3), _traces(4, 3)[:-1], _traces(7, 2, bad=4), _traces(9, 1))
    )
    stages.start()
    assert good.result(30) == also.result(30) == Accepted()
    assert partly.result(30).rejected == 4
    assert "invalid_trace_id" in partly.result(30).message
    with pytest.raises(Malformed):
        cut.result(30)
    assert stages.count() == 6
    assert stages.counters.value("spans_received") == 10
    assert stages.counters.value("spans_refused", "invalid_trace_id") == 4


def test_a_body_is_never_completed_by_the_next(stages: Stages) -> None:
    """Wherever a body is cut, its two parts are answered as each alone would be, also if together they are whole."""
    whole = _traces(1, 2) + _traces(3, 2)
    parts = [part for cut in range(1, len(whole)) for part in (whole[:cut], whole[cut:])]
    answers = [stages.take(part) for part in parts]
    stages.start()
    malformed = 0
    for part, answer in zip(parts, answers, strict=True):
        try:
            decode(part, encoding="protobuf", signal="traces", settings=Settings())
        except InputError:
            malformed += 1
            assert isinstance(answer.exception(30), Malformed)
        else:
            assert answer.exception(30) is None
    assert malformed > len(whole)


def test_traces_and_logs_wait_in_one_line(stages: Stages) -> None:
    """Signals are decoded apart, in whatever order they came."""
    answers = [stages.take(_log("a"), "logs"), stages.take(_traces(1, 2)), stages.take(_log("b"), "logs")]
    stages.start()
    assert [answer.result(30) for answer in answers] == [Accepted()] * 3
    assert stages.count() == 2
    assert stages.count("count(*) FROM logs") == 2


def test_a_failed_transaction_is_tried_again_body_by_body(stages: Stages) -> None:
    """Where a shared transaction fails each body has another try alone, is counted once, and is told if that fails."""
    with stages.store.cursor() as cursor:
        cursor.execute("ALTER TABLE logs RENAME TO hidden")
    answers = [stages.take(_log(body), "logs") for body in "ab"]
    spans = stages.take(_traces(1, 2))
    stages.start()
    assert spans.result(30) == Accepted()
    for answer in answers:
        assert isinstance(answer.exception(30), NotCommitted)
    assert stages.counters.value("log_records_received") == 2
    assert stages.counters.value("log_records_refused", "commit_failed") == 2
    assert stages.counters.value("spans_committed") == 2


def test_closing_hands_on_what_was_taken(stages: Stages) -> None:
    """A stop loses nothing that was taken; what comes later is told to come again."""
    answers = [stages.take(_traces(number + 1, 1)) for number in range(5)]
    stages.start()
    stages.close()
    assert [answer.result(0) for answer in answers] == [Accepted()] * 5
    with pytest.raises(Busy, match="stopping"):
        stages.take(_traces(9, 1))


def test_little_is_decoded_ahead_of_the_writer(stages: Stages, monkeypatch: pytest.MonkeyPatch) -> None:
    """While the writer is behind, bodies wait as they came and not as rows, which may take several times the memory."""
    monkeypatch.setattr(decoder, "AHEAD_BYTES", 0)
    monkeypatch.setattr(decoder, "GROUP_BYTES", 1)
    answers = [stages.take(_traces(number + 1, 1)) for number in range(5)]
    stages.decoder.start()
    time.sleep(0.3)
    assert stages.counters.value("spans_received") == 1
    stages.committer.start()
    assert [answer.result(30) for answer in answers] == [Accepted()] * 5


def test_a_caller_that_gives_up_changes_nothing(stages: Stages) -> None:
    """What was taken is committed whoever still waits for it."""
    answer = stages.take(_traces(1, 1))
    assert not answer.cancel()
    stages.start()
    assert answer.result(30) == Accepted()
