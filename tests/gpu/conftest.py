"""What the tests on a GPU share."""

import pytest

from gstalker.stages import fuse


@pytest.fixture(autouse=True)
def operations_apart(monkeypatch):
    """Fused stages have their own test: what checks shapes in all others cannot be traced."""
    monkeypatch.setattr(fuse, "wanted", lambda device: False)
