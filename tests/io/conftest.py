"""What the tests of damaged files share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture
def sentence() -> Callable[[Callable[[Path], object], Path], str]:
    """What reading a file is refused with: one line that names it."""

    def said(read: Callable[[Path], object], path: Path) -> str:
        with pytest.raises(ValueError) as raised:
            read(path)
        text = str(raised.value)
        assert path.name in text and "\n" not in text and text.endswith(".") and len(text) < 400
        return text

    return said
