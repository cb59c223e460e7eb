"""Where spans come from: resources and scopes as JSON text, and what a resource says of service and deployment."""

# mypy: allow-untyped-defs, allow-incomplete-defs, no-check-untyped-defs
# The types of compiled functions stand in their kernels' signatures.

import numpy as np

from traceguard.kernels import kernel, leaf
from traceguard.otlp.attributes import KEY_A, KEY_B, SUPERSEDED, TYPE, X, Y, open_list, put_list, put_value
from traceguard.otlp.rules import RULES
from traceguard.otlp.text import WORST_JSON, put_json, put_member, put_unsigned, same
from traceguard.otlp.wire import BUFFER, FULL, MALFORMED, field

RESOURCE, SERVICE, VERSION, ENVIRONMENT, OLD_ENVIRONMENT, INSTANCE = 0, 1, 2, 3, 4, 5
TEXTS = 6
_PROMISED = np.frombuffer(
    b"service.nameservice.versiondeployment.environment.namedeployment.environmentservice.instance.id", np.uint8
)
_PROMISED_ENDS = np.cumsum([0, 12, 15, 27, 22, 19])

# LaunchDarkly's hooks may wrap each evaluation in a span of their own, called like the method.
_HOOK = np.frombuffer(b"launchdarkly", np.uint8)

_MEMBERS = 256  # more than all names, numbers and punctuation outside of texts and attributes need
_NAME = np.frombuffer(b'"name":', np.uint8)
_VERSION = np.frombuffer(b'"version":', np.uint8)
_ATTRIBUTES = np.frombuffer(b'"attributes":', np.uint8)
_DROPPED = np.frombuffer(b'"dropped":', np.uint8)
_SCHEMA = np.frombuffer(b'"schema_url":', np.uint8)
_ENTITIES = np.frombuffer(b'"entities":[', np.uint8)
_TYPE = np.frombuffer(b'"type":', np.uint8)
_IDS = np.frombuffer(b'"id_keys":[', np.uint8)
_DESCRIPTIONS = np.frombuffer(b'"description_keys":[', np.uint8)


@leaf
def _put_keys(buf, a, b, tag_of_keys, literal, out, o):
    """A repeated text field as a JSON array under the name in `literal`; nothing when it is empty."""
    opening = o
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if pos < 0:
            return np.int64(MALFORMED)
        if tag != tag_of_keys:
            continue
        if o + WORST_JSON * (pos - start) + _MEMBERS > out.size:
            return np.int64(FULL)
        if o == opening:
            o = put_member(literal, out, o)
        else:
            out[o] = 44
            o += 1
        o = put_json(buf, start, pos, out, o)
    if o > opening:
        out[o] = 93
        o += 1
    return np.int64(o)


@leaf
def _put_entity(buf, a, b, out, o):
    """An EntityRef as JSON: the position after it, or a negative code."""
    if o + _MEMBERS > out.size:
        return np.int64(FULL)
    out[o] = 123
    o = np.int64(o + 1)
    schema_a, schema_b, type_a, type_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
    pos = np.int64(a)
    while pos < b:
        tag, _, start, pos = field(buf, pos, b)
        if pos < 0:
            return np.int64(MALFORMED)
        if tag == 10:
            schema_a, schema_b = start, pos
        elif tag == 18:
            type_a, type_b = start, pos
    if o + WORST_JSON * (schema_b - schema_a + type_b - type_a) + _MEMBERS > out.size:
        return np.int64(FULL)
    if schema_b > schema_a:
        o = np.int64(put_json(buf, schema_a, schema_b, out, put_member(_SCHEMA, out, o)))
    if type_b > type_a:
        o = np.int64(put_json(buf, type_a, type_b, out, put_member(_TYPE, out, o)))
    o = _put_keys(buf, a, b, 26, _IDS, out, o)
    if o < 0:
        return o
    o = _put_keys(buf, a, b, 34, _DESCRIPTIONS, out, o)
    if o < 0:
        return o
    if o + _MEMBERS > out.size:
        return np.int64(FULL)
    out[o] = 125
    return o + 1


@leaf
def _put_tail(buf, work, rows, frames, dropped, schema_a, schema_b, out, o, rules):
    """The members that resources and scopes share: attributes, dropped count, schema URL."""
    if rows > 0:
        if o + _MEMBERS > out.size:
            return np.int64(FULL)
        o = put_list(buf, work, 0, rows, True, out, put_member(_ATTRIBUTES, out, o), frames, rules)
        if o < 0:
            return o
    if o + WORST_JSON * (schema_b - schema_a) + _MEMBERS > out.size:
        return np.int64(FULL)
    if dropped > 0:
        o = np.int64(put_unsigned(dropped, out, put_member(_DROPPED, out, o)))
    if schema_b > schema_a:
        o = np.int64(put_json(buf, schema_a, schema_b, out, put_member(_SCHEMA, out, o)))
    return np.int64(o)


@kernel(
    f"int64({BUFFER}, int64[:, ::1], int64[:, ::1], int64[:, ::1],"
    f" UniTuple(uint8[::1], {TEXTS}), UniTuple(int32[::1], {TEXTS}), {RULES})",
    allocates=False,
)
def fill_resources(buf, resources, work, frames, text, ends, rules):
    """One row per resource of an Envelope: its JSON (empty when it says nothing) and the promised attributes.

    Returns 0 or a negative code.
    """
    for row in range(resources.shape[0]):
        a, b = resources[row, 0], resources[row, 1]
        dropped = np.uint64(0)
        has_entities = False
        pos = np.int64(a)
        while pos < b:
            tag, value, start, pos = field(buf, pos, b)
            if pos < 0:
                return MALFORMED
            if tag == 16:
                dropped = value & np.uint64(0xFFFFFFFF)
            elif tag == 26:
                has_entities = True
        rows = open_list(buf, a, b, 10, True, work, 0, rules)
        if rows < 0:
            return rows
        for cell in range(TEXTS):
            ends[cell][row + 1] = ends[cell][row]
        for entry in range(rows):
            if work[entry, SUPERSEDED]:
                continue
            for cell in range(SERVICE, TEXTS):
                if not same(
                    buf,
                    work[entry, KEY_A],
                    work[entry, KEY_B],
                    _PROMISED,
                    _PROMISED_ENDS[cell - 1],
                    _PROMISED_ENDS[cell],
                ):
                    continue
                end = put_value(
                    buf,
                    work[entry, TYPE],
                    work[entry, X],
                    work[entry, Y],
                    work,
                    rows,
                    text[cell],
                    np.int64(ends[cell][row]),
                    frames,
                    False,
                    False,
                    rules,
                )
                if end < 0:
                    return end
                ends[cell][row + 1] = end
        out = text[RESOURCE]
        opening = np.int64(ends[RESOURCE][row])
        if opening + _MEMBERS > out.size:
            return FULL
        out[opening] = 123
        o = _put_tail(buf, work, rows, frames, dropped, resources[row, 2], resources[row, 3], out, opening + 1, rules)
        if o < 0:
            return o
        if has_entities:
            if o + _MEMBERS > out.size:
                return FULL
            o = np.int64(put_member(_ENTITIES, out, o))
            pos = np.int64(a)
            while pos < b:
                tag, value, start, pos = field(buf, pos, b)
                if tag != 26:
                    continue
                if out[o - 1] != 91:
                    out[o] = 44
                    o += 1
                o = _put_entity(buf, start, pos, out, o)
                if o < 0:
                    return o
            out[o] = 93
            o += 1
        if o + 1 > out.size:
            return FULL
        out[o] = 125
        ends[RESOURCE][row + 1] = o + 1 if o > opening + 1 else opening
    return 0


@leaf
def _names_hook(buf, a, b):
    """Whether a scope's name says that its internal spans only record flag evaluations."""
    for i in range(a, b - _HOOK.size + 1):
        if same(buf, i, i + _HOOK.size, _HOOK, 0, _HOOK.size):
            return True
    return False


@kernel(
    f"int64({BUFFER}, int64[:, ::1], int64[:, ::1], int64[:, ::1], uint8[::1], int32[::1], uint8[::1], {RULES})",
    allocates=False,
)
def fill_scopes(buf, scopes, work, frames, out, ends, hooks, rules):
    """One row per scope of an Envelope: its JSON (empty when it says nothing), and whether it is a flag hook.

    Returns 0 or a negative code.
    """
    for row in range(scopes.shape[0]):
        a, b = scopes[row, 0], scopes[row, 1]
        dropped = np.uint64(0)
        name_a, name_b, version_a, version_b = np.int64(0), np.int64(0), np.int64(0), np.int64(0)
        pos = np.int64(a)
        while pos < b:
            tag, value, start, pos = field(buf, pos, b)
            if pos < 0:
                return MALFORMED
            if tag == 10:
                name_a, name_b = start, pos
            elif tag == 18:
                version_a, version_b = start, pos
            elif tag == 32:
                dropped = value & np.uint64(0xFFFFFFFF)
        hooks[row] = _names_hook(buf, name_a, name_b)
        rows = open_list(buf, a, b, 26, True, work, 0, rules)
        if rows < 0:
            return rows
        opening = np.int64(ends[row])
        if opening + WORST_JSON * (name_b - name_a + version_b - version_a) + _MEMBERS > out.size:
            return FULL
        out[opening] = 123
        o = opening + 1
        if name_b > name_a:
            o = np.int64(put_json(buf, name_a, name_b, out, put_member(_NAME, out, o)))
        if version_b > version_a:
            o = np.int64(put_json(buf, version_a, version_b, out, put_member(_VERSION, out, o)))
        o = _put_tail(buf, work, rows, frames, dropped, scopes[row, 2], scopes[row, 3], out, o, rules)
        if o < 0:
            return o
        if o + 1 > out.size:
            return FULL
        out[o] = 125
        ends[row + 1] = o + 1 if o > opening + 1 else opening
    return 0
