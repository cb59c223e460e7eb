"""The keyed hash and its key; what rules hide of a request."""

import json
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import hypothesis.strategies as st
import numpy as np
import pytest
from builders.otlp import SPAN_ID, TRACE_ID, any_value, log_request, make_log, make_span, pairs, trace_request
from builders.redact_reference import KEY
from builders.siphash_reference import siphash
from google.protobuf import json_format
from hypothesis import given
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from traceguard.errors import UsageError
from traceguard.otlp import Decoded, decode, redact
from traceguard.otlp.siphash import siphash_of_all
from traceguard.settings import Settings

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
    return b"".join(
        int(half).to_bytes(8, "little")
        for half in siphash_of_all(np.frombuffer(text, np.uint8), *map(np.uint64, halves))
    )


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


def hidden(body: bytes, signal: Literal["traces", "logs"] = "traces", **rules: tuple[str, ...]) -> Decoded:
    """A decoded request under these rules."""
    return decode(body, encoding="protobuf", signal=signal, settings=Settings(**rules))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("pattern", "fits", "fits_not"),
    [
        ("user.id", ["user.id"], ["user.id.x", "a.user.id", "User.id", "user_id"]),
        ("user.*", ["user.", "user.id"], ["user", "xuser.id"]),
        ("*password*", ["password", "db.password.old"], ["passwor", "PASSWORD"]),
        ("*a*b", ["ab", "aXb", "abab", "aab"], ["aba", "b", "a"]),
        ("*", ["", "anything", "漢"], []),
        ("a?[b]", ["a?[b]"], ["aXb", "a?b"]),
        ("", [""], ["a"]),
    ],
)
def test_only_the_star_is_special(pattern: str, fits: list[str], fits_not: list[str]) -> None:
    """A pattern drops exactly the keys that it describes."""
    body = trace_request(make_span(dict.fromkeys([*fits, *fits_not], "x"))).SerializeToString()
    (attributes,) = hidden(body, drop_attributes=(pattern,)).spans["attributes"].to_pylist()
    assert json.loads(attributes or "{}") == dict.fromkeys(fits_not, "x")


def test_a_dropped_attribute_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Span, event, link, resource, scope and nested maps; a hashed neighbour holds no trace of its value either."""
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    attributes = {"secret": "MARK", "user.id": "MARK", "deep": [{"secret": "MARK", "user.id": ["MARK"], "kept": 1}]}
    span = make_span(attributes, events=[("e", attributes), ("feature_flag", {"feature_flag.key": "f", **attributes})])
    span.links.add(trace_id=TRACE_ID, span_id=SPAN_ID).attributes.extend(pairs(attributes))
    request = trace_request(span, resource=attributes)
    request.resource_spans[0].scope_spans[0].scope.attributes.extend(pairs(attributes))
    decoded = hidden(request.SerializeToString(), drop_attributes=("sec*",), hash_attributes=("user.id",))
    told = str([table.to_pylist() for table in (decoded.spans, decoded.correlations, decoded.flag_records)])
    assert "MARK" not in told
    assert "secret" not in told
    digest = redact.hashed("MARK", Settings())
    shown = {"user.id": digest, "deep": [{"user.id": digest, "kept": 1}]}
    (row,) = decoded.spans.to_pylist()
    assert json.loads(row["attributes"]) == shown
    carriers = [*json.loads(row["events"]), *json.loads(row["links"]), json.loads(row["resource"])]
    assert [carrier["attributes"] for carrier in (carriers[0], carriers[2], carriers[3])] == [shown] * 3
    assert carriers[1]["attributes"] == {"feature_flag.key": "f", **shown}


def test_a_hashed_user_stays_one_unit(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same hash in correlations and flag records, from text, number or header, in every batch and encoding."""
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    header = "http.request.header.x-request-id"
    flag = {"feature_flag.key": "f", "feature_flag.context.id": "7"}
    request = trace_request(
        make_span({"user.id": 7, "session.id": "7", header: ["7"]}, events=[("feature_flag", flag)])
    )
    rules = {"hash_attributes": ("user.id", "session.id", "feature_flag.context.*", "http.*")}
    digest = redact.hashed("7", Settings())
    text = json.dumps(json_format.MessageToDict(request)).replace("AQIDBAUGBwgJCgsMDQ4PEA==", TRACE_ID.hex())
    text = text.replace("AQIDBAUGBwg=", SPAN_ID.hex())
    for decoded in (
        hidden(request.SerializeToString(), **rules),
        decode(text.encode(), encoding="json", signal="traces", settings=Settings(**rules)),  # type: ignore[arg-type]
    ):
        assert decoded.correlations["value"].to_pylist() == [digest] * 3
        assert decoded.flag_records["context_id"].to_pylist() == [digest]


def test_arrays_and_maps_are_hashed_as_they_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """The text of the whole value; what is empty stays empty, so that it makes nobody a user."""
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    values = {"k1": ["a", 1], "k2": {"b": True}, "k3": [["a"]], "k4": 2.5, "k5": b"\x00\xff", "k6": False}
    texts = {"k1": '["a",1]', "k2": '{"b":true}', "k3": '["a"]', "k4": "2.5", "k5": "AP8=", "k6": "false"}
    nothing = {"k7": "", "k8": None, "k9": [], "k10": {}, "k11": [""], "k12": [None], "k13": b""}
    body = trace_request(make_span(values | nothing)).SerializeToString()
    (attributes,) = hidden(body, hash_attributes=("k*",)).spans["attributes"].to_pylist()
    found = json.loads(attributes)
    assert {key: found[key] for key in values} == {key: redact.hashed(text, Settings()) for key, text in texts.items()}
    assert {key: found[key] for key in nothing} == nothing | {"k13": ""}


@pytest.mark.parametrize("action", ["drop_attributes", "hash_attributes"])
def test_bodies_of_logs_and_messages_of_statuses_are_hidden_by_name(
    monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    """The two texts that are no attributes but have a name; an evaluation is still told by its body."""
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    dropped = action == "drop_attributes"
    record = make_log({"feature_flag.key": "f"}, body=any_value("feature_flag"))
    decoded = hidden(log_request(record).SerializeToString(), "logs", **{action: ("log.body",)})
    digest = redact.hashed("feature_flag", Settings())
    assert decoded.logs["body"].to_pylist() == [None if dropped else f'"{digest}"']
    assert decoded.flag_records["flag_key"].to_pylist() == ["f"]
    span = make_span(status=Status(code=Status.STATUS_CODE_ERROR, message="no such user: Zoë"))
    decoded = hidden(trace_request(span).SerializeToString(), **{action: ("status.*",)})
    digest = redact.hashed("no such user: Zoë", Settings())
    assert decoded.spans["status_message"].to_pylist() == [None if dropped else digest]
    assert decoded.spans["status"].to_pylist() == ["error"]


def test_dropping_wins_over_hashing_and_what_no_rule_names_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that both lists name is dropped, also when thousands of keys pass by in between."""
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    keys = [f"{kind}.{number}" for number in range(3_000) for kind in ("both", "hash", "keep")]
    body = trace_request(make_span(dict.fromkeys(keys, "v")), make_span(dict.fromkeys(keys, "v"))).SerializeToString()
    rules = {"drop_attributes": ("both.*",), "hash_attributes": ("both.*", "hash.*")}
    digest = redact.hashed("v", Settings())
    expected = {key: digest if key.startswith("hash") else "v" for key in keys if not key.startswith("both")}
    for attributes in hidden(body, **rules).spans["attributes"].to_pylist():
        assert json.loads(attributes) == expected


def test_rules_that_reports_will_miss_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """One sentence with the keys; hashed ids are still units, dropped ones are not."""
    monkeypatch.setenv(redact.KEY_VARIABLE, KEY)
    assert redact.check(Settings(drop_attributes=("user.email",), hash_attributes=("user.id", "log.body"))) is None
    told = redact.check(Settings(drop_attributes=("user.*", "service.v*"), hash_attributes=("feature_flag.key",)))
    assert told is not None
    assert "hide service.version, feature_flag.key, user.id, which reports" in told


def test_hashing_without_a_key_is_refused() -> None:
    """At the start and at every body: nothing is stored in the clear because a key is missing."""
    settings = Settings(hash_attributes=("user.id",))
    with pytest.raises(UsageError, match="what `openssl rand -hex 32` prints"):
        redact.check(settings)
    with pytest.raises(UsageError, match="there is no key"):
        hidden(trace_request(make_span()).SerializeToString(), hash_attributes=("user.id",))
