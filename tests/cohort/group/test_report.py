"""The report on a cohort: what it holds, and that it replaces nothing of others."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_voxreg import Image, register_cohort

QUICK = {"linear": "rigid", "deform": "none", "template": "best"}


class Text(HTMLParser):
    """The words of a page, and its pictures."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.sources: list[str] = []
        self.feed(page)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]


def test_a_cohort_with_a_folder_has_a_report(cohort: Any, tmp_path: Path) -> None:
    blank = Image(np.ones((96, 96), np.float32), cohort.images[0].grid, "empty <b>.tif")
    result = register_cohort([*cohort.images[:4], blank], options=QUICK, folder=tmp_path)
    page = Text((tmp_path / "report.html").read_text(encoding="utf-8"))
    words = " ".join(page.words)
    assert result.sentence in words
    for heading in (
        "Template",
        "Best",
        "Worst",
        "Images",
        "Errors between the images",
        "Options",
        "Software",
    ):
        assert heading in page.words
    assert "empty <b>.tif" in words
    assert "It shows nothing." in words
    for member in result.members[:4]:
        assert f"{member.numbers[1]:.4g}" in page.words
    # Nothing is loaded from elsewhere: template and mean, three pairs before and after, the errors.
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert len(page.sources) == 2 + 2 * 3 + 1
    assert not any(word.startswith(f"{result.template.name}: ") for word in page.words)


def test_another_page_is_not_replaced(cohort: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text("<html>mine</html>")
    with pytest.raises(ValueError, match=r"report\.html is there and holds something else"):
        register_cohort(cohort.images[:3], options=QUICK, folder=tmp_path)
    assert not (tmp_path / "work").exists()
