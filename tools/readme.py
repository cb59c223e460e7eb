"""Put the demo's output, as standard input brings it, into README.md where the last one stands: `make readme`."""

import re
import sys
from pathlib import Path

README = Path(__file__).resolve().parent.parent / "README.md"


def main() -> None:
    """Replace the first text block of the README."""
    shown = sys.stdin.read().strip("\n")
    old = README.read_text(encoding="utf-8")
    new = re.sub(r"(?<=^```text\n).*?(?=^```$)", lambda _: f"{shown}\n", old, count=1, flags=re.MULTILINE | re.DOTALL)
    README.write_text(new, encoding="utf-8")


if __name__ == "__main__":
    main()
