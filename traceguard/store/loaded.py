"""What came of loading files into a store: how much of what is in, and what was refused."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from traceguard.units import counted

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from traceguard.otlp import Decoded


@dataclass(frozen=True, slots=True)
class Loaded:
    """What `ingest` did: files read, spans and log records kept, what was refused and why."""

    files: int
    spans: int
    logs: int
    evaluations: int
    refused: Mapping[str, int] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The numbers as a dictionary."""
        return {
            "files": self.files, "spans": self.spans, "logs": self.logs, "flag_evaluations": self.evaluations,
            "refused": dict(self.refused),
        }  # fmt: skip

    def __str__(self) -> str:
        """One line for a person."""
        files = counted(self.files, "file")
        numbers = ((self.spans, "span"), (self.logs, "log record"), (self.evaluations, "flag evaluation"))
        spans, logs, evaluations = (counted(number, noun) for number, noun in numbers)
        text = f"Loaded {spans}, {logs} and {evaluations} from {files}."
        refused = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.refused.items()))
        return f"{text} Refused: {refused}." if refused else text


class Tally:
    """Counts what passes on its way into the store."""

    def __init__(self) -> None:
        self.files = self.spans = self.logs = self.evaluations = 0
        self.refused: Counter[str] = Counter()

    def through(self, batches: Iterable[Decoded]) -> Iterator[Decoded]:
        """The batches of one file as they are."""
        self.files += 1
        for batch in batches:
            self.spans += batch.spans.num_rows
            self.logs += batch.logs.num_rows
            self.evaluations += batch.flag_records.num_rows
            self.refused.update(batch.refused)
            yield batch

    def add(self, other: Tally) -> None:
        """Count what another one counted, too."""
        self.files += other.files
        self.spans += other.spans
        self.logs += other.logs
        self.evaluations += other.evaluations
        self.refused.update(other.refused)

    def loaded(self) -> Loaded:
        """All that was counted."""
        return Loaded(self.files, self.spans, self.logs, self.evaluations, self.refused)
