"""What tests of several rooms share."""

import psutil
import pytest

from napari_voxreg.core import process


@pytest.fixture(scope="module")
def children():
    """Tells which processes were started since the module began: those of other tests may still be there."""
    process.shutdown()
    others = set(psutil.Process().children(recursive=True))
    return lambda: set(psutil.Process().children(recursive=True)) - others
