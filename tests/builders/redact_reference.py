"""Rules of privacy, slow and obvious: a request as protobuf objects with its attributes dropped or hashed in place."""

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

from builders.otlp_reference import legible, parsed, plain, text
from builders.siphash_reference import siphash

KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"


def hashed(value: str) -> str:
    """The hash of a text under KEY."""
    key = blake2b(bytes.fromhex(KEY), digest_size=16, person=b"traceguard.hash").digest()
    return siphash(key, value.encode()).hex()


def matches(key: str, patterns: Sequence[str]) -> bool:
    """Whether a key fits one of the patterns."""
    forms = [".*".join(re.escape(part) for part in pattern.split("*")) for pattern in patterns]
    return any(re.fullmatch(form, key, re.DOTALL) for form in forms)


def is_empty(value: Any) -> bool:
    """Whether there is nothing to hide."""
    match value.WhichOneof("value"):
        case None:
            return True
        case "array_value" | "kvlist_value" as name:
            return getattr(value, name).ByteSize() == 0
        case "string_value" | "bytes_value" as name:
            return len(getattr(value, name)) == 0
    return False


def hide_in_value(value: Any, drop: Sequence[str], to_hash: Sequence[str]) -> None:
    """The attributes inside of a value."""
    if value.WhichOneof("value") == "array_value":
        for element in value.array_value.values:
            hide_in_value(element, drop, to_hash)
    elif value.WhichOneof("value") == "kvlist_value":
        hide(value.kvlist_value.values, drop, to_hash)


def hide(pairs: Any, drop: Sequence[str], to_hash: Sequence[str]) -> None:
    """The attributes of a list, in place."""
    kept = []
    for pair in pairs:
        known = bool(pair.key) or not pair.key_strindex
        if known and matches(legible(pair.key), drop):
            continue
        value, empty = pair.value, False
        if value.WhichOneof("value") == "array_value":
            empty = not value.array_value.values
            value = value.array_value.values[0] if len(value.array_value.values) == 1 else value
        to_be_hashed = known and matches(legible(pair.key), to_hash) and not empty and not is_empty(value)
        hide_in_value(pair.value, drop, to_hash)
        if to_be_hashed:
            pair.value.string_value = hashed(text(plain(value)) or "").encode()
        kept.append(pair)
    copies = [type(pair).FromString(pair.SerializeToString()) for pair in kept]
    del pairs[:]
    pairs.extend(copies)


def hide_in_request(body: bytes, signal: str, drop: Sequence[str], to_hash: Sequence[str]) -> bytes:
    """A request of traces or logs without what the rules hide."""
    request = parsed(body, signal)
    traces = signal == "traces"
    for container in request.resource_spans if traces else request.resource_logs:
        hide(container.resource.attributes, drop, to_hash)
        for scoped in container.scope_spans if traces else container.scope_logs:
            hide(scoped.scope.attributes, drop, to_hash)
            for item in scoped.spans if traces else scoped.log_records:
                for carrier in (item, *item.events, *item.links) if traces else (item,):
                    hide(carrier.attributes, drop, to_hash)
                if not traces:
                    hide_in_value(item.body, drop, to_hash)
    return bytes(request.SerializeToString())
