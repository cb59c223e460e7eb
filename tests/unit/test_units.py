"""Sizes as people write and read them."""

import pytest

from traceguard.errors import UsageError
from traceguard.units import format_size, parse_size, parse_switch


@pytest.mark.parametrize(
    ("text", "size"),
    [("64MiB", 2**26), ("64 mib", 2**26), ("50GB", 50 * 10**9), ("1.5KiB", 1536), ("7B", 7), ("2TB", 2 * 10**12)],
)
def test_sizes_have_units_of_1000_or_1024(text: str, size: int) -> None:
    """Both families of units are read, in any case."""
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "64", "-1MiB", "64M", "IB", "1 PB", "1iB", "¹MB"])
def test_other_text_is_no_size(text: str) -> None:
    """A size without a unit, or with one that is not known, is refused in words."""
    with pytest.raises(UsageError, match="is not a size"):
        parse_size(text)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (2**26, "64 MiB"),
        (50 * 10**9, "50 GB"),
        (999_999, "1 MB"),
        (1536, "1.54 kB"),
    ],
)
def test_sizes_are_shown_in_the_unit_that_fits(size: int, text: str) -> None:
    """Powers of 1024 are shown as such, everything else to three digits."""
    assert format_size(size) == text


def test_a_switch_is_on_or_off() -> None:
    """A query parameter says true or false; anything else is refused by the option's name."""
    assert [parse_switch(given, "all") for given in ("true", "True", "1", True)] == [True] * 4
    assert [parse_switch(given, "all") for given in ("false", "0", False)] == [False] * 3
    with pytest.raises(UsageError, match="all 'perhaps'"):
        parse_switch("perhaps", "all")
