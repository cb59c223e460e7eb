"""The documents that these tests render, as a fixture: test folders are no packages that could be imported from."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def documents() -> ModuleType:
    """Builders of one realistic document of every kind."""
    spec = importlib.util.spec_from_file_location("report_documents", Path(__file__).parent / "documents.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
