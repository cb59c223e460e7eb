"""Flag evaluations in every form in which they arrive, as one kind of row: flag, level, context, provider, reason.

The forms differ in where the attributes stand (log record, span event, span, an extra span) and in how keys are
called; the tables here say which keys mean what. The level is the first present of the variant, the variation's index
and the canonical value. What the convention says about evaluations elsewhere (`feature_flag.result.reason` as a span
attribute, say) is never mistaken for a flag. Sources: the semantic conventions for feature flags, and what the hooks
of OpenFeature, LaunchDarkly, flagd, Flipt, Sentry and Microsoft send.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import json
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from traceguard.kernels import leaf
from traceguard.otlp.attributes import DEEPEST, KEY_A, KEY_B, NOTHING, SUPERSEDED, TEXT, TYPE, X, Y, put_value
from traceguard.otlp.text import SLACK, WORST_PLAIN, put_hex, put_plain, same
from traceguard.otlp.wire import FULL

EVALUATION = "feature_flag.evaluation"  # the event's name, and the name of the extra spans
_EVENT_NAMES = (EVALUATION, "feature_flag", "flipt.flag_evaluation", "FeatureEvaluation", "FeatureFlag")
# Log records whose SDK knows no event name carry it in one of these attributes.
_NAME_KEYS = ("event.name", "microsoft.custom_event.name")
FLAG_KEY = "feature_flag.key"

KEY, LEVEL, CONTEXT, PROVIDER, REASON = 0, 1, 2, 3, 4
_VARIANT, _VALUE = 0, 1  # how a level's text is read: as it is, or as a value to be made canonical
_ROLES = (  # in order of preference; for each: role, reading, key
    (KEY, 0, FLAG_KEY), (KEY, 0, "flipt.key"), (KEY, 0, "flipt.flag"), (KEY, 0, "FeatureName"),
    (LEVEL, _VARIANT, "feature_flag.result.variant"), (LEVEL, _VARIANT, "feature_flag.variant"),
    (LEVEL, _VARIANT, "flipt.result.variant"), (LEVEL, _VARIANT, "Variant"),
    (LEVEL, _VARIANT, "feature_flag.result.variationIndex"), (LEVEL, _VALUE, "feature_flag.result.value"),
    (LEVEL, _VALUE, "flipt.result.value"), (LEVEL, _VALUE, "flipt.value"), (LEVEL, _VALUE, "Enabled"),
    (CONTEXT, 0, "feature_flag.context.id"), (CONTEXT, 0, "feature_flag.context.key"),
    (CONTEXT, 0, "flipt.context.entity_id"),
    (CONTEXT, 0, "flipt.entity_id"), (CONTEXT, 0, "TargetingId"),
    (PROVIDER, 0, "feature_flag.provider.name"), (PROVIDER, 0, "feature_flag.provider_name"),
    (REASON, 0, "feature_flag.result.reason"), (REASON, 0, "feature_flag.reason"),
    (REASON, 0, "feature_flag.evaluation.reason"),
    (REASON, 0, "flipt.result.reason"), (REASON, 0, "flipt.reason"), (REASON, 0, "VariantAssignmentReason"),
)  # fmt: skip
ROLES = 5
# Keys under `feature_flag.` that belong to the convention, present or past: exact ones end in nothing, families in a
# dot.
_CONVENTION = (
    *(key for _, _, key in _ROLES if key.startswith("feature_flag.")), "feature_flag.version", "feature_flag.value",
    "feature_flag.result", "feature_flag.evaluation", "feature_flag.result.", "feature_flag.evaluation.",
    "feature_flag.error.",
    "feature_flag.context.", "feature_flag.provider.", "feature_flag.set.",
)  # fmt: skip

TRACE_CELL, SPAN_CELL, KEY_CELL, LEVEL_CELL, CONTEXT_CELL, PROVIDER_CELL, REASON_CELL = 0, 1, 2, 3, 4, 5, 6
CELLS = 7
TIME, READING = 0, 1
READ_NONE, READ_TEXT, READ_VALUE = 0, 1, 2

PROMOTED_INTEREST, PREFIX_INTEREST = 1, 2
_LENGTHS = 64  # lengths of keys that `interest` tells apart; all longer ones count as one


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """The words that the loops look for, as bounds into one array of bytes.

    Each table has a row `(start, end)` per word; `roles` adds `(role, reading)`. `interest` says (at
    `interest_slot`) whether a key can be a promoted one or begin with a flag prefix, so that most keys are passed over
    at the cost of one look.
    """

    words: NDArray[np.uint8]
    names: NDArray[np.int64]
    name_keys: NDArray[np.int64]
    roles: NDArray[np.int64]
    convention: NDArray[np.int64]
    promoted: NDArray[np.int64]
    prefixes: NDArray[np.int64]
    interest: NDArray[np.uint8]


@lru_cache(maxsize=16)
def vocabulary(promoted_keys: tuple[str, ...], flag_prefixes: tuple[str, ...]) -> Vocabulary:
    """The vocabulary of these settings; the longest flag prefix is tried first, an empty one is no prefix."""
    text = bytearray()

    def table(words: tuple[str, ...], *extra: tuple[int, ...]) -> NDArray[np.int64]:
        rows = np.zeros((len(words), 2 + len(extra)), np.int64)
        for number, word in enumerate(words):
            start = len(text)
            text.extend(word.encode())
            rows[number] = (start, len(text), *(column[number] for column in extra))
        return rows

    prefixes = tuple(sorted(filter(None, flag_prefixes), key=len, reverse=True))
    interest = np.zeros((256, _LENGTHS), np.uint8)
    for key in filter(None, promoted_keys):
        interest[key.encode()[0], min(len(key.encode()), _LENGTHS - 1)] |= PROMOTED_INTEREST
    for prefix in prefixes:
        interest[prefix.encode()[0], min(len(prefix.encode()) + 1, _LENGTHS - 1) :] |= PREFIX_INTEREST
    tables = {
        "names": table(_EVENT_NAMES),
        "name_keys": table(_NAME_KEYS),
        "roles": table(tuple(r[2] for r in _ROLES), tuple(r[0] for r in _ROLES), tuple(r[1] for r in _ROLES)),
        "convention": table(_CONVENTION),
        "promoted": table(promoted_keys),
        "prefixes": table(prefixes),
    }
    return Vocabulary(words=np.frombuffer(bytes(text) + b"\0", np.uint8), interest=interest.ravel(), **tables)


@leaf
def interest_slot(buf, a, b):
    """Where `interest` speaks of the key between `a` and `b`, which is not empty: by its first byte and its length."""
    return np.int64(buf[a]) * _LENGTHS + min(b - a, _LENGTHS - 1)


@leaf
def find_word(buf, a, b, words, table):
    """The row of `table` whose word equals the bytes from `a` to `b`, or -1."""
    for row in range(table.shape[0]):
        if same(buf, a, b, words, table[row, 0], table[row, 1]):
            return row
    return -1


@leaf
def find_prefix(buf, a, b, words, table):
    """The length of the first prefix in `table` that the bytes begin with and do not end with, or 0."""
    for row in range(table.shape[0]):
        size = table[row, 1] - table[row, 0]
        if b - a > size and same(buf, a, a + size, words, table[row, 0], table[row, 1]):
            return size
    return 0


@leaf
def conventional(buf, a, b, words, convention):
    """Whether a key is one of the semantic convention's own, and so names no flag."""
    for row in range(convention.shape[0]):
        start, end = convention[row, 0], convention[row, 1]
        if same(buf, a, b, words, start, end):
            return True
        if words[end - 1] == 46 and b - a > end - start and same(buf, a, a + end - start, words, start, end):
            return True
    return False


@leaf
def begin_record(buf, trace_a, trace_b, span_a, span_b, text, ends, flag):
    """Write the ids of record `flag` and leave its other cells empty; False when there is no room."""
    if flag + 1 >= ends[0].size:
        return False
    for cell in range(CELLS):
        ends[cell][flag + 1] = ends[cell][flag]
    trace, span = np.int64(ends[TRACE_CELL][flag]), np.int64(ends[SPAN_CELL][flag])
    if trace + 2 * (trace_b - trace_a) > text[TRACE_CELL].size or span + 2 * (span_b - span_a) > text[SPAN_CELL].size:
        return False
    ends[TRACE_CELL][flag + 1] = put_hex(buf, trace_a, trace_b, text[TRACE_CELL], trace)
    ends[SPAN_CELL][flag + 1] = put_hex(buf, span_a, span_b, text[SPAN_CELL], span)
    return True


@leaf
def put_evaluation(buf, work, high, frames, words, roles, ids, time, text, ends, numbers, flag, rules):
    """Write record `flag` from the attributes in the first `high` rows.

    Returns 1 when written, 0 when no flag is named, or a
    negative code.

    `ids` is (trace start, trace end, span start, span end).
    """
    best, rank = frames[DEEPEST:, 0], frames[DEEPEST:, 1]  # per role: the row that holds it, and its place in `roles`
    for role in range(ROLES):
        best[role], rank[role] = -1, roles.shape[0]
    for row in range(high):
        if work[row, SUPERSEDED] or work[row, TYPE] == NOTHING:
            continue
        found = find_word(buf, work[row, KEY_A], work[row, KEY_B], words, roles)
        if found < 0 or found >= rank[roles[found, 2]]:
            continue
        empty = work[row, TYPE] == TEXT and work[row, X] == work[row, Y]
        if empty and (roles[found, 2] != LEVEL or roles[found, 3] == _VARIANT):
            continue
        best[roles[found, 2]] = row
        rank[roles[found, 2]] = found
    if best[KEY] < 0:
        return np.int64(0)
    if not begin_record(buf, ids[0], ids[1], ids[2], ids[3], text, ends, flag):
        return np.int64(FULL)
    numbers[TIME, flag] = time
    numbers[READING, flag] = READ_NONE
    for role in range(ROLES):
        if best[role] < 0:
            continue
        row = best[role]
        cell = KEY_CELL + role
        end = put_value(
            buf,
            work[row, TYPE],
            work[row, X],
            work[row, Y],
            work,
            high,
            text[cell],
            np.int64(ends[cell][flag]),
            frames,
            False,
            False,
            rules,
        )
        if end < 0:
            return end
        ends[cell][flag + 1] = end
        if role == LEVEL:
            numbers[READING, flag] = READ_TEXT if roles[rank[role], 3] == _VARIANT else READ_VALUE
    return np.int64(1)


@leaf
def put_tag(buf, key_a, key_b, work, row, high, frames, ids, time, text, ends, numbers, flag, rules):
    """Write record `flag` from an attribute `PREFIX<flag> = <level>`; 1 or a negative code."""
    if not begin_record(buf, ids[0], ids[1], ids[2], ids[3], text, ends, flag):
        return np.int64(FULL)
    start = np.int64(ends[KEY_CELL][flag])
    if start + WORST_PLAIN * (key_b - key_a) + SLACK > text[KEY_CELL].size:
        return np.int64(FULL)
    ends[KEY_CELL][flag + 1] = put_plain(buf, key_a, key_b, text[KEY_CELL], start)
    end = put_value(
        buf,
        work[row, TYPE],
        work[row, X],
        work[row, Y],
        work,
        high,
        text[LEVEL_CELL],
        np.int64(ends[LEVEL_CELL][flag]),
        frames,
        False,
        False,
        rules,
    )
    if end < 0:
        return end
    ends[LEVEL_CELL][flag + 1] = end
    numbers[TIME, flag] = time
    numbers[READING, flag] = READ_NONE if work[row, TYPE] == NOTHING else READ_VALUE
    return np.int64(1)


def _reject_constant(word: str) -> float:
    raise ValueError(word)


def canonical_level(text: str) -> str:
    """One spelling for equal values; text that is no value stays.

    JSON text loses its quotes, objects sort their keys, `True` is `true`.
    """
    if text in {"True", "False"}:
        return text.lower()
    if text[:1] not in {"{", "[", '"'}:
        return text
    try:
        value = json.loads(text, parse_constant=_reject_constant)
        spelled = (
            value
            if isinstance(value, str)
            else json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        )
        spelled.encode()
    except (ValueError, RecursionError):
        return text
    return spelled


def canonical(levels: pa.Array, reading: NDArray[np.int64]) -> pa.Array:
    """Levels with those read as values made canonical, null where there is none; each distinct text is read once."""
    none = pa.array(reading == READ_NONE)
    as_value = pa.array(reading == READ_VALUE)
    if pc.any(as_value).as_py():
        encoded = levels.dictionary_encode()
        words = pa.array([canonical_level(word) for word in encoded.dictionary.to_pylist()], pa.string())
        levels = pc.if_else(as_value, words.take(encoded.indices), levels)
    return pc.if_else(none, pa.scalar(None, pa.string()), levels)
