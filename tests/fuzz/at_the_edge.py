"""Decodes every seed and finding, and beginnings of them, where readable memory ends; prints how many there were.

The loops are those that users run. Whoever reads beyond a body ends the process with SIGSEGV.
"""

from pathlib import Path

from fuzz.guarded import GuardedMemory
from fuzz.seeds import seeds
from fuzz.targets import TARGETS, attempt

_CUTS = 200


def main() -> None:
    """All of them."""
    count = 0
    memory = GuardedMemory(2**16)
    for target in TARGETS:
        folder = Path(__file__).parent / "findings" / target.name
        bodies = [*seeds(target.name), *(file.read_bytes() for file in sorted(folder.glob("*")))]
        for body in bodies:
            for end in {len(body), *range(0, len(body), max(1, len(body) // _CUTS))}:
                attempt(target, memory.place(body[:end]))
                count += 1
    print(count)


if __name__ == "__main__":
    main()
