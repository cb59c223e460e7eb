"""What a request ran under, and what that did: factors, effects with their intervals, distributions."""

from typing import Literal

from traceguard.model.document import Document


class Factor(Document):
    """Something a request ran under that may explain it, at one level against its reference level."""

    kind: Literal["flag", "version", "period", "attribute"]
    key: str
    service: str | None
    level: str
    reference: str


class Effect(Document):
    """An estimate with its interval, per affected request."""

    estimate: float
    low: float
    high: float
    unit: Literal["ms", "fraction", "calls"]


class Histogram(Document):
    """Latency distributions of both sides, as shares of common bins; `edges_ms` has one element more than they."""

    edges_ms: list[float]
    reference: list[float]
    observed: list[float]
