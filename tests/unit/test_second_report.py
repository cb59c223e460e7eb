"""A report about a window that did not change costs no second reading while the store stays open."""

from pathlib import Path
from typing import Any

import pytest
from builders.scenes import recorded

import traceguard as tg
from traceguard.engine import local
from traceguard.simulate import shop
from traceguard.store import open_store


def test_a_second_report_does_not_read_the_spans_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same question, and one narrower in what it shows, rest on what was gathered; another window does not."""
    path = tmp_path / "shop.duckdb"
    with open_store(path, mode="write") as store:
        store.append([recorded(shop(), requests=400).decoded()])
    opened = []
    real = local.open_window

    def watched(*given: Any) -> local.Window:
        opened.append(given)
        return real(*given)

    monkeypatch.setattr(local, "open_window", watched)
    with open_store(path) as store:
        first = tg.report(store, draw_map=False)
        assert tg.report(store, draw_map=False).to_dict() == first.to_dict()
        tg.report(store, alpha=0.01, flag="new-pricing", draw_map=False)
        assert len(opened) == 1
        tg.report(store, ignore_watermark=True, draw_map=False)
        assert len(opened) == 2
