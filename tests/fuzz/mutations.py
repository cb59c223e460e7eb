"""Changed copies of inputs: by the structure of protobuf and of JSON where there is one, and by bytes in any case.

A message is taken apart into fields, changed, and written again with lengths that fit, so that changes deep inside get
past the framing; JSON is changed by its tokens and by whole values between brackets. All chance comes from one seeded
source, so that a run can be repeated.
"""

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass

from builders import otlp_reference as reference

LARGEST = 4096  # longer inputs find nothing more and cost time

WORDS = (
    *(
        word.encode()
        for word in (
            *reference.KEYS, *reference.VARIANTS, *reference.VALUES, *reference.CONTEXTS, *reference.PROVIDERS,
            *reference.REASONS, *sorted(reference.EVENT_NAMES), "feature_flag.checkout",
            "feature_flag.result.reason.inExperiment", "flag.evaluation.new", "ff/x", "ff/", "session.id", "user.id",
            "service.name", "service.version", "deployment.environment", "deployment.environment.name",
            "service.instance.id", "event.name", "microsoft.custom_event.name", "http.request.header.x-request-id",
            "launchdarkly", "exception", "True", '{"b": 1, "a": [2]}', '"quoted"', 'a\nb"\\\x00', "é", "€", "𐍈",
        )
    ),
    b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xf0\x9f\x98", b"\x01" * 16, b"\x02" * 8, bytes(16), bytes(8),
)  # fmt: skip
_TEXT_WORDS = (
    *(
        f'"{name}"'.encode()
        for name in (
            "resourceSpans", "resource_spans", "resourceLogs", "resource", "scopeSpans", "scopeLogs", "scope", "spans",
            "logRecords", "attributes", "key", "value", "stringValue", "intValue", "doubleValue", "boolValue",
            "bytesValue", "arrayValue", "kvlistValue", "values", "traceId", "spanId", "parentSpanId", "name", "kind",
            "status", "code", "startTimeUnixNano", "timeUnixNano", "events", "links", "flags", "SPAN_KIND_SERVER",
            "STATUS_CODE_ERROR", "droppedAttributesCount", "schemaUrl", "entityRefs", "idKeys", "severityNumber",
            "body", "eventName", "data", "traceID", "spanID", "operationName", "references", "refType", "CHILD_OF",
            "FOLLOWS_FROM", "startTime", "duration", "tags", "type", "string", "bool", "int64", "float64", "binary",
            "logs", "timestamp", "fields", "processID", "processes", "serviceName", "p1", "span.kind", "error",
            "otel.status_code", "server", "event", "0102030405060708", "0102030405060708090a0B0C0d0e0f10", "AQID",
            "_-8=", "NaN", "-Infinity", "9007199254740993", "1.50", "-7", "0001", r"\ud83d\ude00", r"\ud800",
            r"\u0000\"\\\/\b\f\n\r\t", r"\x", r"\u12",
        )
    ),
    b"null", b"true", b"false", b"0", b"-1", b"5.0", b"5e3", b"1e400", b"1e-400", b"-0", b"2.5",
    b"18446744073709551615", b"18446744073709551616", b"-9223372036854775808", b"123456789012345678901234567890e-12",
    b"0.1e1", b"[]", b"{}", b"{", b"}", b"[", b"]", b",", b":", b"\xef\xbb\xbf", b"\xff", b" ",
)  # fmt: skip
_NUMBERS = (0, 1, 2, 5, 127, 128, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**53 + 1, 2**63 - 1, 2**63, 2**64 - 1)
_TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|[-+.0-9eE]+|true|false|null|[][{},:]|\s+|.', re.DOTALL)


def varint(value: int, surplus: int = 0) -> bytes:
    """A varint, with `surplus` bytes that say nothing at its end."""
    out = bytearray()
    while value > 0x7F or surplus > 0:
        surplus -= value <= 0x7F
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


@dataclass(slots=True)
class Field:
    """A field of a message: a number, some bytes, or the fields of a message within."""

    number: int
    wire: int
    value: "int | bytes | list[Field]"
    surplus: int = 0


def parse(body: bytes, depth: int = 0) -> list[Field] | None:
    """The fields of a message, bytes that look like a message taken apart as well; None when they are none."""
    fields: list[Field] = []
    at = 0
    try:
        while at < len(body):
            begin = at
            tag, at = _read_varint(body, at)
            number, wire = tag >> 3, tag & 7
            surplus = at - begin - len(varint(tag))
            if number == 0:
                return None
            if wire == 0:
                value, at = _read_varint(body, at)
                fields.append(Field(number, wire, value, surplus))
                continue
            if wire not in {1, 2, 5}:
                return None
            size = 8 if wire == 1 else 4
            if wire == 2:
                size, at = _read_varint(body, at)
            if at + size > len(body):
                return None
            piece = body[at : at + size]
            at += size
            inner = parse(piece, depth + 1) if wire == 2 and size > 1 and depth < 40 else None
            fields.append(Field(number, wire, piece if inner is None else inner, surplus))
    except IndexError:
        return None
    return fields


def _read_varint(body: bytes, at: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        value |= (body[at] & 0x7F) << shift
        at += 1
        if body[at - 1] < 0x80:
            break
    return value & (2**64 - 1), at


def render(fields: list[Field]) -> bytes:
    """The bytes of a message."""
    out = bytearray()
    for field in fields:
        out += varint(field.number << 3 | field.wire, field.surplus)
        if isinstance(field.value, int):
            out += varint(field.value, field.surplus)
            continue
        inner = render(field.value) if isinstance(field.value, list) else field.value
        out += (varint(len(inner), field.surplus) if field.wire == 2 else b"") + inner
    return bytes(out)


def _lists(fields: list[Field]) -> Iterator[list[Field]]:
    """All messages in a tree, from the outermost on."""
    yield fields
    for field in fields:
        if isinstance(field.value, list):
            yield from _lists(field.value)


def shorter(body: bytes, *, textual: bool) -> Iterator[bytes]:
    """Copies without one part: a field or value of any size, then runs of bytes."""
    if textual:
        tokens = _TOKEN.findall(body)
        for start in range(len(tokens)):
            yield b"".join((*tokens[:start], *tokens[_end_of_value(tokens, start) :]))
            yield b"".join((*tokens[:start], *tokens[_end_of_value(tokens, start) + 1 :]))
    else:
        tree = parse(body) or []
        for message in list(_lists(tree)):
            for at in range(len(message)):
                field = message.pop(at)
                yield render(tree)
                message.insert(at, field)
                if isinstance(field.value, bytes) and field.value:
                    field.value, whole = field.value[:1], field.value
                    yield render(tree)
                    field.value = whole
    size = len(body) // 2
    while size:
        for at in range(0, len(body), size):
            yield body[:at] + body[at + size :]
        size //= 2


def _end_of_value(tokens: list[bytes], start: int) -> int:
    """After the value that begins at `start`: one token, or all between two brackets."""
    depth, end = 0, start
    while end < len(tokens):
        depth += tokens[end] in {b"{", b"["}
        depth -= tokens[end] in {b"}", b"]"}
        end += 1
        if depth <= 0:
            break
    return end


class Mutator:
    """Makes changed copies; `textual` says whether inputs are JSON."""

    def __init__(self, chance: random.Random, *, textual: bool) -> None:
        self._chance = chance
        self._textual = textual

    def changed(self, body: bytes, other: bytes) -> bytes:
        """A copy of `body` with one to five changes, some of which take parts of `other`."""
        for _ in range(self._chance.choice((1, 1, 1, 2, 2, 3, 5))):
            by_structure = self._chance.random() < (0.8 if self._textual else 0.7)
            if by_structure:
                body = self._tokens(body, other) if self._textual else self._message(body, other)
            else:
                body = self._bytes(body, other)
        return body[:LARGEST]

    def _word(self) -> bytes:
        return self._chance.choice(_TEXT_WORDS if self._textual and self._chance.random() < 0.8 else WORDS)

    def _bytes(self, body: bytes, other: bytes) -> bytes:
        chance, out = self._chance, bytearray(body)
        at = chance.randrange(len(out) + 1)
        match chance.randrange(8):
            case 0 if at < len(out):
                out[at] ^= 1 << chance.randrange(8)
            case 1 if at < len(out):
                out[at] = chance.choice((0, 1, 0x0A, 0x12, 0x7F, 0x80, 0xFF, chance.randrange(256)))
            case 2:
                del out[at : at + chance.randrange(1, 17)]
            case 3:
                out[at:at] = self._word()
            case 4:
                start = chance.randrange(len(other) + 1)
                out[at:at] = other[start : start + chance.randrange(1, 65)]
            case 5:
                start = chance.randrange(len(out) + 1)
                out[at:at] = out[start : start + chance.randrange(1, 33)]
            case 6:
                del out[at:]
            case _:
                word = self._word()
                out[at : at + len(word)] = word
        return bytes(out)

    def _message(self, body: bytes, other: bytes) -> bytes:
        tree = parse(body)
        if not tree:
            return self._bytes(body, other)
        chance = self._chance
        message = chance.choice(list(_lists(tree)))
        if not message:
            message.append(self._field())
            return render(tree)
        at = chance.randrange(len(message))
        match chance.randrange(8):
            case 0:
                del message[at]
            case 1:
                message.insert(chance.randrange(len(message) + 1), message[at])
            case 2 | 3:
                donor = parse(other) or [self._field()]
                message.insert(at, chance.choice(chance.choice([part for part in _lists(donor) if part])))
            case 4:
                message.insert(at, self._field() if chance.random() < 0.7 else self._group())
            case _:
                self._change(message[at])
        return render(tree)

    def _change(self, field: Field) -> None:
        """Another number, a padded tag or length, other content, or more around the content."""
        chance = self._chance
        match chance.randrange(6):
            case 0:
                field.number = chance.choice((field.number + 1, max(1, field.number - 1), chance.randrange(1, 20)))
            case 1:
                field.surplus = chance.randrange(1, 9)
            case 2:
                self._nest(field)
            case _:
                self._revalue(field)

    def _group(self) -> Field:
        """Groups within each other, most of which close as they should, behind the value of a field nobody knows."""
        chance = self._chance
        numbers = [chance.randrange(1, 20) for _ in range(chance.choice((1, 1, 2, 3)))]
        opening = b"".join(varint(number << 3 | 3) for number in numbers)
        if chance.random() < 0.3:
            chance.shuffle(numbers)
        closing = b"".join(varint(number << 3 | 4) for number in reversed(numbers))
        return Field(500, 5, bytes(4) + opening + render([self._field()]) + closing)

    def _field(self) -> Field:
        """A field of any kind."""
        chance = self._chance
        number = chance.randrange(1, 17)
        wire = chance.choice((0, 1, 2, 2, 2, 5))
        if wire == 0:
            return Field(number, wire, chance.choice(_NUMBERS))
        if wire == 2:
            return Field(number, wire, self._word())
        return Field(number, wire, chance.randbytes(8 if wire == 1 else 4))

    def _revalue(self, field: Field) -> None:
        chance = self._chance
        if isinstance(field.value, int):
            field.value = chance.choice((*_NUMBERS, chance.getrandbits(64), (field.value + 1) % 2**64))
        elif field.wire == 2:
            size = len(field.value)
            pool = (
                self._word(),
                b"",
                chance.randbytes(size),
                b"x" * chance.choice((1, 7, 8, 9, 15, 16, 17, 127, 128, 300)),
            )
            field.value = chance.choice(pool)
        else:
            size = 8 if field.wire == 1 else 4
            field.value = chance.choice((chance.choice(_NUMBERS).to_bytes(8, "little")[:size], chance.randbytes(size)))

    def _nest(self, field: Field) -> None:
        """Put what looks like an AnyValue into arrays or lists of keys and values around it."""
        if not isinstance(field.value, list):
            return
        for _ in range(self._chance.choice((1, 2, 30, 31, 32, 33))):
            if self._chance.random() < 0.5:
                field.value = [Field(5, 2, [Field(1, 2, field.value)])]
            else:
                field.value = [Field(6, 2, [Field(1, 2, [Field(1, 2, b"k"), Field(2, 2, field.value)])])]

    def _tokens(self, body: bytes, other: bytes) -> bytes:
        tokens = _TOKEN.findall(body)
        if not tokens:
            return self._word()
        chance = self._chance
        at = chance.randrange(len(tokens))
        start, end = self._value(tokens)
        match chance.randrange(8):
            case 0:
                tokens[at] = self._word()
            case 1:
                tokens[at:at] = [self._word()]
            case 2:
                del tokens[at : at + chance.randrange(1, 4)]
            case 3:
                tokens[start:end] = [self._word()]
            case 4:
                tokens[end:end] = [b",", *tokens[start:end]]
            case 5:
                donor = _TOKEN.findall(other) or [b"null"]
                first, last = self._value(donor)
                tokens[start:end] = donor[first:last]
            case 6:
                deep = chance.choice((1, 3, 40, 170))
                opening, closing = chance.choice(
                    ((b"[", b"]"), (b'{"a":', b"}"), (b'{"arrayValue":{"values":[', b"]}}"))
                )
                tokens[start:end] = [opening * deep, *tokens[start:end], closing * deep]
            case _:
                tokens[start:end] = []
        return b"".join(tokens)

    def _value(self, tokens: list[bytes]) -> tuple[int, int]:
        """The bounds of some value among tokens: one token, or all between two brackets."""
        start = self._chance.randrange(len(tokens))
        return start, _end_of_value(tokens, start)
