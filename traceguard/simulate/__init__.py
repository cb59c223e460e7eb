"""Fleets with a planted, known cause: what the tests, the benchmarks and the demo use for truth.

`shop()` is a believable online shop, `random_fleet()` any number of unbelievable ones; `generate` runs requests through
a fleet and gives a `Recording` with the spans and the truth about every request. `traceguard.simulate.fleet` describes
the model. Recordings can be ingested as they are (`decoded`), sent through the OpenTelemetry SDK (`emit.replay`),
written as OTLP files (`files.write`) or turned into OTLP bodies (`bodies`).

How right an analysis is, is measured with `scenarios` (families of planted causes), `true_effect` (what each really
does, from pairs of the same requests) and `mishaps` (what happens to telemetry on its way).
"""

from traceguard.simulate.fleet import Call, EntryPoint, Flag, Fleet, Operation, Plant, Service, Variant, Version
from traceguard.simulate.generate import generate
from traceguard.simulate.random_fleet import random_fleet
from traceguard.simulate.recording import Recording, Truth
from traceguard.simulate.shop import shop

__all__ = [
    "Call",
    "EntryPoint",
    "Flag",
    "Fleet",
    "Operation",
    "Plant",
    "Recording",
    "Service",
    "Truth",
    "Variant",
    "Version",
    "generate",
    "random_fleet",
    "shop",
]
