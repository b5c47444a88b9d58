"""What tests of several rooms share."""

import os

import psutil
import pytest

from napari_voxreg.core import process


@pytest.fixture(scope="session", autouse=True)
def own_logs(tmp_path_factory):
    """The last log of whoever runs the tests is kept, at least where logs follow this variable."""
    before = os.environ.get("XDG_STATE_HOME")
    os.environ["XDG_STATE_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["XDG_STATE_HOME"]
    else:
        os.environ["XDG_STATE_HOME"] = before


@pytest.fixture(scope="module")
def children():
    """Tells which processes were started since the module began: those of other tests may still be there."""
    process.shutdown()
    others = set(psutil.Process().children(recursive=True))
    return lambda: set(psutil.Process().children(recursive=True)) - others
