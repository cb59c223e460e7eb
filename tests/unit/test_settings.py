"""Settings from a file: what is taken, and what is refused in words."""

from pathlib import Path

import pytest

from traceguard.errors import UsageError
from traceguard.settings import load


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
