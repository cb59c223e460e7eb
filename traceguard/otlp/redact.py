"""What is kept from the store: attributes dropped or hashed at the door, as the settings say.

A rule is a key or a pattern in which `*` stands for any run of characters; nothing else is special, and case counts. It
holds wherever an attribute stands: span, event, link, resource, scope, log record, and inside of nested maps, whose
keys are matched by their own name. Dropping wins over hashing. `log.body` and `status.message` are keys, too. Other
text is no attribute and out of reach: names of spans, events and scopes, trace states, text inside of a value.

A hash is keyed, 32 hexadecimal digits long, and of the value's text as `correlations.value` would hold it, so that 7
and "7" agree, in every batch, process and encoding. The key is never stored. Without it nobody can tell from a hash
what was hashed, and with another key the same user gets another hash.
"""

import os
import re
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from traceguard.errors import UsageError
from traceguard.otlp.rules import DROP, HASH, KEEP
from traceguard.otlp.siphash import siphash_of_all
from traceguard.settings import Settings

KEY_VARIABLE = "TRACEGUARD_HASH_KEY"
_FEWEST_BYTES = 16
_LOG_BODY, _STATUS_MESSAGE = "log.body", "status.message"

# Without these no report tells which service, version or flag it was; without the ids, dropped ones, not whose request.
_NEEDED = (
    "service.name", "service.version", "deployment.environment.name", "deployment.environment", "feature_flag.key",
    "feature_flag.result.variant", "feature_flag.result.value", "feature_flag.variant",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules as the loops take them; see `traceguard.otlp.rules`. Text that is no attribute has its action here."""

    words: NDArray[np.uint8]
    patterns: NDArray[np.int64]
    key: NDArray[np.uint64]
    log_body: int
    status_message: int


def rules(settings: Settings) -> Rules:
    """The rules of these settings; UsageError when something is to be hashed and there is no key."""
    key = hash_key(settings) if settings.hash_attributes else None
    return _compiled(settings.drop_attributes, settings.hash_attributes, key)


def check(settings: Settings) -> str | None:
    """What to say at the start: a sentence when reports will miss what the rules hide, else None.

    UsageError as from `rules`.
    """
    rules(settings)
    hidden = [key for key in _NEEDED if _action(settings.drop_attributes, settings.hash_attributes, key) != KEEP]
    units = dict.fromkeys(("feature_flag.context.id", *settings.unit_keys))
    hidden += [key for key in units if _action(settings.drop_attributes, (), key) == DROP]
    if not hidden:
        return None
    return f"The settings hide {', '.join(hidden)}, which reports are made from; name other keys if that is not meant."


@lru_cache(maxsize=16)
def _compiled(drop: tuple[str, ...], to_hash: tuple[str, ...], key: tuple[int, int] | None) -> Rules:
    if to_hash and key is None:
        message = (
            f"Attributes are to be hashed, but there is no key: set {KEY_VARIABLE} (or the setting hash_key_file) to"
            " what `openssl rand -hex 32` prints, and keep it."
        )
        raise UsageError(message)
    text = bytearray()
    rows = []
    for pattern, action in (*((pattern, DROP) for pattern in drop), *((pattern, HASH) for pattern in to_hash)):
        start = len(text)
        text += pattern.encode()
        rows.append((start, len(text), action))
    return Rules(
        words=np.frombuffer(bytes(text) + b"\0", np.uint8),
        patterns=np.array(rows, np.int64).reshape(-1, 3),
        key=np.array(key or (0, 0), np.uint64),
        log_body=_action(drop, to_hash, _LOG_BODY),
        status_message=_action(drop, to_hash, _STATUS_MESSAGE),
    )


def _action(drop: tuple[str, ...], to_hash: tuple[str, ...], key: str) -> int:
    for patterns, action in ((drop, DROP), (to_hash, HASH)):
        forms = (".*".join(map(re.escape, pattern.split("*"))) for pattern in patterns)
        if any(re.fullmatch(form, key, re.DOTALL) for form in forms):
            return action
    return KEEP


def hashed(text: str, settings: Settings) -> str:
    """What stands in the store where a value with this text was hashed at the door; UsageError without a key."""
    key = hash_key(settings)
    if key is None:
        message = f"There is no key to hash with; set {KEY_VARIABLE} or the setting hash_key_file."
        raise UsageError(message)
    value = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    return "".join(int(half).to_bytes(8, "little").hex() for half in siphash_of_all(value, *map(np.uint64, key)))


def hash_key(settings: Settings) -> tuple[int, int] | None:
    """The two halves of the key from `$TRACEGUARD_HASH_KEY`, else from the setting `hash_key_file`, else None.

    Hexadecimal or any text, of at least 16 bytes.
    """
    given = os.environ.get(KEY_VARIABLE)
    if given is not None:
        return _stretched(given, f"The key in {KEY_VARIABLE}")
    return None if settings.hash_key_file is None else _key_in(settings.hash_key_file)


@lru_cache(maxsize=4)
def _key_in(file: str) -> tuple[int, int]:
    try:
        text = Path(file).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        message = (
            f"The key file {file} (the setting hash_key_file) cannot be read: {reason}; see `openssl rand -hex 32`."
        )
        raise UsageError(message) from None
    return _stretched(text, f"The key in {file}")


def _stretched(text: str, what: str) -> tuple[int, int]:
    """A key of any length as 128 bits."""
    text = text.strip()
    try:
        material = bytes.fromhex(text)
    except ValueError:
        material = text.encode()
    if len(material) < _FEWEST_BYTES:
        message = f"{what} is shorter than {_FEWEST_BYTES} bytes; make one with `openssl rand -hex 32`."
        raise UsageError(message)
    key = blake2b(material, digest_size=16, person=b"traceguard.hash").digest()
    return int.from_bytes(key[:8], "little"), int.from_bytes(key[8:], "little")
