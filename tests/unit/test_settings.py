"""Settings from a file: what is taken, and what is refused in words."""

from datetime import date
from pathlib import Path

import pytest

from traceguard.errors import UsageError
from traceguard.settings import Acceptance, load


def write(folder: Path, text: str) -> Path:
    """A settings file with this text."""
    file = folder / "traceguard.toml"
    file.write_text(text, encoding="utf-8")
    return file


def test_rules_of_privacy_are_read(tmp_path: Path) -> None:
    """Lists of patterns become tuples."""
    settings = load(
        write(tmp_path, 'drop_attributes = ["*password*"]\nhash_attributes = ["user.id"]\nhash_key_file = "key"')
    )
    assert (settings.drop_attributes, settings.hash_attributes) == (("*password*",), ("user.id",))
    assert settings.hash_key_file == "key"


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ('drop_attributes = "user.email"', "drop_attributes"), ("hash_attributes = [7]", "hash_attributes"),
        ("trace_url = 7", "trace_url"), ('owners = "me"', "owners"), ("owners = {cart = 7}", "owners"),
        ("expected_ratio = {flag = 0.5}", "expected_ratio"), ("expected_ratio = {flag = {on = 0}}", "expected_ratio"),
    ],
)  # fmt: skip
def test_a_setting_of_the_wrong_type_is_refused(tmp_path: Path, text: str, name: str) -> None:
    """A single text is no list of its letters: a rule that silently hides nothing would be worse than none."""
    with pytest.raises(UsageError, match=f"The setting {name} in .* has the wrong type; write it as "):
        load(write(tmp_path, text))


def test_what_to_leave_out_and_where_rates_stand_is_read(tmp_path: Path) -> None:
    """A table of attributes, with dots in their keys, and lists of patterns and keys; by default nothing."""
    text = """
leave_out_entries = ["GET /healthz", "grpc.health.v1.Health/*"]
sample_rate_keys = ["SampleRate"]
[leave_out_attributes]
"user_agent.synthetic.type" = "*"
"""
    settings = load(write(tmp_path, text))
    assert settings.leave_out_entries == ("GET /healthz", "grpc.health.v1.Health/*")
    assert settings.leave_out_attributes == {"user_agent.synthetic.type": "*"}
    assert settings.sample_rate_keys == ("SampleRate",)
    without = load(write(tmp_path, ""))
    assert (without.leave_out_entries, without.leave_out_attributes, without.sample_rate_keys) == ((), {}, ())


def test_expected_ratios_are_read(tmp_path: Path) -> None:
    """A table of flags, each with a number for a variant."""
    text = '[expected_ratio]\n"new-pricing" = {on = 1, off = 2.5}\n'
    assert load(write(tmp_path, text)).expected_ratio == {"new-pricing": {"on": 1, "off": 2.5}}


def test_trace_links_and_acceptances_are_read(tmp_path: Path) -> None:
    """Any number of UIs by name; acceptances with a day as TOML's date or as text."""
    text = """
[trace_links]
jaeger = "https://j.example/trace/{trace_id}"
[[accepted]]
factor = "new-pricing=on"
until = 2027-01-31
reason = "OPS-12"
[[accepted]]
service = "cart"
locus = "self"
until = "2027-02-01"
reason = "known"
"""
    settings = load(write(tmp_path, text))
    assert settings.trace_links == {"jaeger": "https://j.example/trace/{trace_id}"}
    assert settings.accepted == (
        Acceptance(date(2027, 1, 31), "OPS-12", factor="new-pricing=on"),
        Acceptance(date(2027, 2, 1), "known", service="cart", locus="self"),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('accepted = "all"', "has the wrong type"),
        ('[[accepted]]\nservice = "a"\nreason = "x"', "needs the day until which it holds"),
        ('[[accepted]]\nservice = "a"\nreason = "x"\nuntil = "soon"', "needs the day until which it holds"),
        ('[[accepted]]\nservice = "a"\nuntil = 2027-01-31', "needs a reason"),
        ('[[accepted]]\nservice = "a"\nreason = " "\nuntil = 2027-01-31', "needs a reason"),
        ('[[accepted]]\nservice = 7\nreason = "x"\nuntil = 2027-01-31', "texts only"),
        ('[[accepted]]\nreason = "x"\nuntil = 2027-01-31', "would accept everything"),
        ('[[accepted]]\nmetric = "latency"\nreason = "x"\nuntil = 2027-01-31', "would accept everything"),
        ('[[accepted]]\nflag = "a"\nreason = "x"\nuntil = 2027-01-31', "unknown keys: flag"),
        ('[[accepted]]\nservice = "a"\nlocus = "there"\nreason = "x"\nuntil = 2027-01-31', "one of self, inbound"),
        ('trace_url = "https://j.example/"', "must be a web address that holds"),
        ('[trace_links]\njaeger = "ftp://j.example/{trace_id}"', "must be a web address that holds"),
    ],
)  # fmt: skip
def test_a_rule_that_would_do_something_else_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """An acceptance without an end, or of everything, and a link without a trace help nobody."""
    with pytest.raises(UsageError, match=words):
        load(write(tmp_path, text))
