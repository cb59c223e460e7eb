"""The keyed hash and its key; what rules hide of a request."""

from hashlib import blake2b
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
from builders.siphash_reference import siphash
from hypothesis import given

from traceguard.errors import UsageError
from traceguard.otlp import redact
from traceguard.otlp.siphash import siphash_of_all
from traceguard.settings import Settings

KEY = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff"

# vectors_sip128 of the authors' reference code: the key is 00 01 .. 0f, the text 00 01 02 .. of each length.
PUBLISHED = {
    0: "a3817f04ba25a8e66df67214c7550293", 1: "da87c1d86b99af44347659119b22fc45",
    2: "8177228da4a45dc7fca38bdef60affe4", 7: "a1f1ebbed8dbc153c0b84aa61ff08239",
    8: "3b62a9ba6258f5610f83e264f31497b4", 9: "264499060ad9baabc47f8b02bb6d71ed",
    15: "5493e99933b0a8117e08ec0f97cfc3d9", 16: "6ee2a4ca67b054bbfd3315bf85230577",
    63: "5150d1772f50834a503e069a973fbd7c",
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """No key but that of the test."""
    monkeypatch.delenv(redact.KEY_VARIABLE, raising=False)


def compiled(key: bytes, text: bytes) -> bytes:
    """What the compiled loop makes of a text."""
    halves = (int.from_bytes(key[at : at + 8], "little") for at in (0, 8))
    return b"".join(int(half).to_bytes(8, "little") for half in siphash_of_all(np.frombuffer(text, np.uint8), *halves))


@pytest.mark.parametrize("length", PUBLISHED)
def test_the_published_vectors_hold(length: int) -> None:
    """Both implementations give what the authors published."""
    key, text = bytes(range(16)), bytes(range(length))
    assert compiled(key, text).hex() == siphash(key, text).hex() == PUBLISHED[length]


@given(st.binary(min_size=16, max_size=16), st.binary(max_size=600))
def test_the_loop_equals_the_reference(key: bytes, text: bytes) -> None:
    """Any key, any text."""
    assert compiled(key, text) == siphash(key, text)


def test_a_hash_is_of_the_text_under_the_stretched_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """32 hexadecimal digits that another program can make as well, from the key and the text alone."""
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    key = blake2b(bytes.fromhex(KEY), digest_size=16, person=b"traceguard.hash").digest()
    assert redact.hashed("Zoë", Settings()) == siphash(key, "Zoë".encode()).hex()


def test_keys_come_as_text_or_hexadecimal_from_the_environment_or_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The environment wins; white space around a key, and the case of its digits, do not count."""
    file = tmp_path / "key"
    file.write_text(KEY.upper() + "\n", encoding="utf-8")
    settings = Settings(hash_key_file=str(file))
    from_file = redact.hashed("u1", settings)
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    assert redact.hashed("u1", Settings()) == from_file
    monkeypatch.setenv(redact.KEY_VARIABLE, "correct horse battery staple")
    assert redact.hashed("u1", settings) != from_file


def test_a_missing_or_short_key_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence each, which never shows the key."""
    with pytest.raises(UsageError, match="There is no key to hash with"):
        redact.hashed("u1", Settings())
    with pytest.raises(UsageError, match="cannot be read"):
        redact.hashed("u1", Settings(hash_key_file=str(tmp_path / "missing")))
    for short in ("", "0123456789abcdef01", "too short"):
        monkeypatch.setenv(redact.KEY_VARIABLE, short)
        with pytest.raises(UsageError, match="shorter than 16 bytes; make one with `openssl rand -hex 32`") as refused:
            redact.hashed("u1", Settings())
        assert not short or short not in str(refused.value)
