"""Points from tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_voxreg.io.points import read_points


def test_points_are_read_from_any_plain_table(tmp_path: Path) -> None:
    expected = np.array([[1.0, 2.5], [3.0, -4.0]])
    plain, headed, napari = (tmp_path / name for name in ("plain.csv", "headed.csv", "napari.csv"))
    plain.write_text("1,2.5\n3,-4\n", encoding="utf-8")
    headed.write_text("row,column\n1,2.5\n\n3,-4\n", encoding="utf-8")
    napari.write_text("index,axis-0,axis-1\n0,1,2.5\n1,3,-4\n", encoding="utf-8")
    for file in (plain, headed, napari):
        assert np.array_equal(read_points(file), expected)
    plain.write_text("1,2\n3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="one point a line"):
        read_points(plain)
    with pytest.raises(ValueError, match="no file"):
        read_points(tmp_path / "nothing.csv")
