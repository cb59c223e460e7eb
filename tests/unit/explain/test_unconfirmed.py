"""What is plain in a component and uncertain in the whole request is no pass."""

import zlib

from builders.scenes import reported

from traceguard.simulate import generate
from traceguard.simulate.scenarios import scenario

NAME, NUMBER = "version with flag", 7  # the version's other half comes with flags that nearly coincide with it


def test_a_slow_component_among_levels_that_nearly_coincide_is_no_pass() -> None:
    """Its 76 ms are plain, those of the requests drown in what other levels might do: inconclusive, and why."""
    made = scenario(NAME, NUMBER)
    seed = zlib.crc32(NAME.encode()) % 1_000_000 * 1000 + NUMBER
    recording = generate(
        made.fleet, requests=6000, seed=seed, start_ns=1_795_000_000_000_000_000, duration_ns=1_800_000_000_000
    )
    analysis = reported(recording)
    assert analysis.verdict == "inconclusive"
    (said,) = [w.message for w in analysis.document.warnings if w.code == "unconfirmed_component"]
    assert "service-00 GET /3 surely takes longer" in said
