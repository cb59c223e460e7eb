"""Write the documents' JSON Schemas to docs/schema/: `make schemas`."""

import json
from pathlib import Path

from traceguard.report.schemas import DOCUMENTS, schema

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "schema"


def main() -> None:
    """A file a document."""
    FOLDER.mkdir(exist_ok=True)
    for name in DOCUMENTS:
        text = json.dumps(schema(name), indent=2, ensure_ascii=False) + "\n"
        (FOLDER / f"{name}.schema.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
