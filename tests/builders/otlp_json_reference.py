"""The slow, obvious reader of OTLP/JSON: text to wire bytes, one value at a time, by the protocol's own descriptors.

It reads RFC 8259 with what the fast one takes beyond it: numbers with leading zeros, control characters inside of
strings, and escapes that mean nothing in members that nobody knows. Names, numbers, ids and base64 are taken as they
stand in the text, without looking for escapes in them.
"""

import re
import struct
from typing import Any

from builders.otlp_reference import RefusedError, request_class

DEEPEST = 160
_NUMBER = re.compile(rb"-?[0-9]+(\.[0-9]+)?([eE][-+]?[0-9]+)?")
_SPACE = b" \t\r\n"
_LITERALS = {b"true": True, b"false": False, b"null": None}
_ESCAPES = {ord(letter): character for letter, character in zip('"\\/bfnrt', '"\\/\b\f\n\r\t', strict=True)}
_HEX_FIELDS = {"trace_id", "span_id", "parent_span_id"}
_SPECIAL = {b"NaN", b"Infinity", b"-Infinity"}
_BASE64 = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


class Text(bytes):
    """What stands between the quotes of a string."""

    __slots__ = ()


class Number(bytes):
    """A number as it is written."""

    __slots__ = ()


class Members(list[Any]):
    """The members of an object as (name, value), in their order."""


class _Reader:
    def __init__(self, body: bytes) -> None:
        self.body, self.at = body, 0

    def skip(self) -> int:
        """Past white space; the byte there, or -1 at the end."""
        while self.at < len(self.body) and self.body[self.at] in _SPACE:
            self.at += 1
        return self.body[self.at] if self.at < len(self.body) else -1

    def take(self, wanted: bytes) -> None:
        if self.skip() != wanted[0]:
            raise RefusedError(f"no {wanted!r} at {self.at}")
        self.at += 1

    def value(self, depth: int) -> Any:
        match self.skip():
            case 123:
                return Members(self._between(b"}", depth, self._member))
            case 91:
                return self._between(b"]", depth, self.value)
            case 34:
                return self._text()
        for literal, value in _LITERALS.items():
            if self.body.startswith(literal, self.at):
                self.at += len(literal)
                return value
        found = _NUMBER.match(self.body, self.at)
        if found is None:
            raise RefusedError(f"nothing to read at {self.at}")
        self.at = found.end()
        return Number(found[0])

    def _between(self, closing: bytes, depth: int, element: Any) -> list[Any]:
        if depth >= DEEPEST:
            raise RefusedError("too deep")
        self.at += 1
        found: list[Any] = []
        while self.skip() != closing[0]:
            if found:
                self.take(b",")
            found.append(element(depth + 1))
        self.at += 1
        return found

    def _member(self, depth: int) -> tuple[bytes, Any]:
        if self.skip() != 34:
            raise RefusedError(f"no name at {self.at}")
        name = self._text()
        self.take(b":")
        return name, self.value(depth)

    def _text(self) -> Text:
        begin = end = self.at + 1
        while end < len(self.body) and self.body[end] != 34:
            end += 2 if self.body[end] == 92 else 1
        if end >= len(self.body):
            raise RefusedError("a string does not end")
        self.at = end + 1
        return Text(self.body[begin:end])


def to_wire(body: bytes, signal: str) -> bytes:
    """The wire bytes of a request; RefusedError when it is none."""
    reader = _Reader(body.removeprefix(b"\xef\xbb\xbf"))
    if reader.skip() != 123:
        raise RefusedError("no object")
    document = reader.value(0)
    if reader.skip() != -1:
        raise RefusedError("something follows")
    return _message(document, request_class(signal).DESCRIPTOR)


def _message(members: Any, descriptor: Any) -> bytes:
    if not isinstance(members, Members):
        raise RefusedError("no object where a message stands")
    fields = {name.encode(): field for field in descriptor.fields for name in (field.name, field.json_name)}
    out = bytearray()
    for name, value in members:
        field = fields.get(name)
        if field is None or value is None:
            continue
        if not field.is_repeated:
            out += _field(field, value)
            continue
        if not isinstance(value, list) or isinstance(value, Members):
            raise RefusedError("no array where several stand")
        for element in value:
            if element is not None:
                out += _field(field, element)
            elif field.message_type is not None:
                out += _field(field, Members())
    return bytes(out)


def _field(field: Any, value: Any) -> bytes:
    """One field with its tag, or nothing."""
    number = field.number << 3
    if field.message_type is not None:
        return _sized(number, _message(value, field.message_type))
    if field.type in {field.TYPE_STRING, field.TYPE_BYTES}:
        if not isinstance(value, Text):
            raise RefusedError("no string where one stands")
        return _sized(number, _bytes(field, value))
    if field.type == field.TYPE_BOOL:
        truth = {b"true": True, b"false": False}.get(value) if isinstance(value, Text) else value
        if not isinstance(truth, bool):
            raise RefusedError("neither true nor false")
        return _varint(number) + _varint(truth)
    if not isinstance(value, Text | Number):
        raise RefusedError("no number where one stands")
    return _numeric(field, number, value)


def _numeric(field: Any, number: int, value: Text | Number) -> bytes:
    """A field of a number or an enum; an enum's name that nobody knows is as good as not set."""
    if field.type == field.TYPE_DOUBLE:
        return _varint(number | 1) + struct.pack("<d", _double(value))
    if field.enum_type is not None and isinstance(value, Text):
        named = field.enum_type.values_by_name.get(value.decode("latin-1"))
        if named is not None:
            return _varint(number) + _varint(named.number)
        if _NUMBER.fullmatch(value) is None:
            return b""
    whole = _whole(value)
    if field.type == field.TYPE_FIXED64:
        return _varint(number | 1) + whole.to_bytes(8, "little")
    if field.type == field.TYPE_FIXED32:
        return _varint(number | 5) + (whole & 0xFFFFFFFF).to_bytes(4, "little")
    return _varint(number) + _varint(whole)


def _bytes(field: Any, raw: bytes) -> bytes:
    """The content of a field of text, bytes or an id; all are bytes in these descriptors, so names tell them apart."""
    if field.name in _HEX_FIELDS:
        return bytes.fromhex(raw.decode()) if re.fullmatch(rb"([0-9a-fA-F]{2})*", raw) else b"\0"
    if field.name != "bytes_value":
        return _unescaped(raw)
    digits = raw.rstrip(b"=").replace(b"-", b"+").replace(b"_", b"/")
    if len(digits) % 4 == 1 or any(digit not in _BASE64 for digit in digits):
        raise RefusedError("no base64")
    bits = sum(_BASE64.index(digit) << 6 * place for place, digit in enumerate(reversed(digits)))
    return (bits >> 6 * len(digits) % 8).to_bytes(6 * len(digits) // 8, "big")


def _unescaped(raw: bytes) -> bytes:
    out, at = bytearray(), 0
    while at < len(raw):
        if raw[at] != 92:
            out.append(raw[at])
            at += 1
        elif raw[at + 1] != 117:
            if raw[at + 1] not in _ESCAPES:
                raise RefusedError("an escape that means nothing")
            out += _ESCAPES[raw[at + 1]].encode()
            at += 2
        else:
            code, at = _unit(raw, at), at + 6
            if 0xD800 <= code < 0xDC00 and raw[at : at + 2] == rb"\u":
                low = _unit(raw, at)
                if 0xDC00 <= low <= 0xDFFF:
                    code, at = 0x10000 + (code - 0xD800 << 10) + low - 0xDC00, at + 6
            out += ("\ufffd" if 0xD800 <= code <= 0xDFFF else chr(code)).encode()
    return bytes(out)


def _unit(raw: bytes, at: int) -> int:
    digits = raw[at + 2 : at + 6]
    if re.fullmatch(rb"[0-9a-fA-F]{4}", digits) is None:
        raise RefusedError("an escape that means nothing")
    return int(digits, 16)


def _double(raw: bytes) -> float:
    if isinstance(raw, Text) and raw in _SPECIAL:
        return float(raw)
    if _NUMBER.fullmatch(raw) is None:
        raise RefusedError("no number")
    return float(raw)


def _whole(raw: bytes) -> int:
    """A whole number as 64 bits; its digits alone must fit as well, whatever the exponent takes from them."""
    if _NUMBER.fullmatch(raw) is None:
        raise RefusedError("no number")
    mantissa, _, power = raw.lower().lstrip(b"-").partition(b"e")
    before, _, after = mantissa.partition(b".")
    after = after.rstrip(b"0")
    digits, exponent = int(before + after), max(min(int(power or b"0"), 100_000), -100_000) - len(after)
    if digits >= 2**64 or (digits and exponent > 20):
        raise RefusedError("too large")
    value = digits * 10**exponent if exponent >= 0 or not digits else digits // 10 ** min(-exponent, 25)
    if exponent < 0 and digits and value * 10 ** min(-exponent, 25) != digits:
        raise RefusedError("not whole")
    if value >= 2**64 or (raw.startswith(b"-") and value > 2**63):
        raise RefusedError("too large")
    return (-int(value) if raw.startswith(b"-") else int(value)) % 2**64


def _sized(number: int, content: bytes) -> bytes:
    return _varint(number | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
