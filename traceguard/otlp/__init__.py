"""OTLP in: wire bytes and files become Arrow columns, flag evaluations normalised. Nothing per span is ever a Python object."""

from traceguard.otlp.columns import Decoded

__all__ = ["Decoded", "decode"]


def __getattr__(name: str) -> object:
    """`decode` is imported when it is first used: its loops take a moment to load."""
    if name == "decode":
        from traceguard.otlp.decode import decode

        return decode
    message = f"module {__name__!r} has no attribute {name!r}"
    raise AttributeError(message)
