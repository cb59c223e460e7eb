"""The SQL of the page, by name: a file each under `queries/page`, values bound."""

from functools import cache
from typing import Any

from traceguard.store import queries


def rows(cursor: Any, name: str, params: dict[str, Any] | None = None) -> list[dict[str, Any]]:
    """The rows of `queries/page/<name>.sql`; of `params` it takes those that it names."""
    text = _text(name)
    used = {key: value for key, value in (params or {}).items() if f"${key}" in text}
    found: list[dict[str, Any]] = cursor.sql(text, params=used or None).to_arrow_table().to_pylist()
    return found


@cache
def _text(name: str) -> str:
    return (queries.folder() / "page" / f"{name}.sql").read_text(encoding="utf-8")
