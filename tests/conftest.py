"""What tests of all rooms share: time limits for shared machines, and the outside tools that some tests need."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# The same examples in every run, so that a check fails for a change and not by luck.
# TRACEGUARD_HYPOTHESIS=explore looks for new ones.
settings.register_profile(
    "checks", deadline=None, derandomize=True, print_blob=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("explore", parent=settings.get_profile("checks"), derandomize=False, max_examples=2_000)
settings.load_profile(os.environ.get("TRACEGUARD_HYPOTHESIS", "checks"))

REPOSITORY = Path(__file__).resolve().parent.parent


def _absent(tool: str, switch: str) -> None:
    """Skip the test for want of a tool, or fail it where the environment declares that the tool must be there."""
    reason = f"{tool} is not installed"
    if os.environ.get(switch) == "1":
        pytest.fail(f"{reason}, and {switch}=1 says that it must be")
    pytest.skip(reason)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout's root."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of recordings that are not part of the project."""
    folder = os.environ.get("TRACEGUARD_SHARED_DATA")
    if not folder:
        pytest.skip("TRACEGUARD_SHARED_DATA does not name the folder of shared recordings")
    return Path(folder)


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The recording that the project carries."""
    return REPOSITORY / "sample_data"


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of a Chromium that can open pages."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        _absent("Chromium", "TRACEGUARD_REQUIRE_BROWSER")
    return str(found)


@pytest.fixture(scope="session")
def node() -> str:
    """The path of a Node of version 20 or newer."""
    found = shutil.which("node")
    if found is not None:
        answer = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
        if int(answer.lstrip("v").partition(".")[0]) >= 20:
            return found
    _absent("Node 20", "TRACEGUARD_REQUIRE_NODE")
    raise AssertionError


@pytest.fixture(scope="session")
def node_modules() -> Path:
    """The folder of what `tests/functional/node/package.json` names, which `make test` installs."""
    found = REPOSITORY / ".cache" / "node" / "node_modules"
    if not found.is_dir():
        _absent("What tests/functional/node/package.json names", "TRACEGUARD_REQUIRE_NODE")
    return found


@pytest.fixture(scope="session", params=["0.2", "0.3"])
def openfeature_hooks(request: pytest.FixtureRequest) -> Path:
    """A folder with OpenFeature's hooks for Python in one of their versions, which `make test` installs."""
    found = REPOSITORY / ".cache" / f"openfeature-{request.param}"
    if not (found / "openfeature").is_dir():
        _absent(f"openfeature-hooks-opentelemetry {request.param}", "TRACEGUARD_REQUIRE_OPENFEATURE")
    return found
