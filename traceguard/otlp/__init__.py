"""OTLP in: wire bytes and files become Arrow columns, flag evaluations normalised. Nothing per span is an object."""

from typing import TYPE_CHECKING, Literal

from traceguard.otlp.columns import Decoded

if TYPE_CHECKING:
    from traceguard.settings import Settings

__all__ = ["Decoded", "decode"]


def decode(
    body: bytes | bytearray | memoryview,
    *,
    encoding: Literal["protobuf", "json"],
    signal: Literal["traces", "logs"],
    settings: "Settings",
) -> Decoded:
    """All spans (or log records) of one request body as tables.

    Spans that cannot be kept are counted by reason in the result. InputError when the body does not parse whole:
    nothing of it is used. The first call loads the compiled loops, which takes half a second.
    """
    from traceguard.otlp.request import decode as decode_request

    return decode_request(body, encoding=encoding, signal=signal, settings=settings)
