"""What is kept from the store: attributes dropped or hashed at the door, as the settings say.

A rule is a key or a pattern in which `*` stands for any run of characters; nothing else is special, and case counts. It
holds wherever an attribute stands: span, event, link, resource, scope, log record, and inside of nested maps, whose
keys are matched by their own name. Dropping wins over hashing.

A hash is keyed, 32 hexadecimal digits long, and of the value's text as `correlations.value` would hold it, so that 7
and "7" agree, in every batch, process and encoding. The key is never stored. Without it nobody can tell from a hash
what was hashed, and with another key the same user gets another hash.
"""

import os
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path

from traceguard.errors import UsageError
from traceguard.settings import Settings

KEY_VARIABLE = "TRACEGUARD_HASH_KEY"
_FEWEST_BYTES = 16


def hashed(text: str, settings: Settings) -> str:
    """What stands in the store where a value with this text was hashed at the door; UsageError without a key."""
    import numpy as np

    from traceguard.otlp.siphash import siphash_of_all

    key = hash_key(settings)
    if key is None:
        message = f"There is no key to hash with; set {KEY_VARIABLE} or the setting hash_key_file."
        raise UsageError(message)
    value = np.frombuffer(text.encode("utf-8", "replace"), np.uint8)
    return "".join(int(half).to_bytes(8, "little").hex() for half in siphash_of_all(value, *key))


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
