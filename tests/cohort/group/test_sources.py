"""Which images make a cohort, and what their names say."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Grid, Image, register_cohort
from napari_voxreg.cohort.group import Member, cohort_frames
from napari_voxreg.io.images import write_image

NAMES = (
    "p02_L_2020-03-01.tif",
    "p01_R_2021-01-05.tif",
    "p01_R_2019-12-24.tif",
    "p01_L_2020-02-02.tif",
    "notes.tif",
)


@pytest.fixture
def visits(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for name in NAMES:
        image = Image(rng.random((24, 24)).astype(np.float32), Grid.from_spacing((24, 24)))
        write_image(image, tmp_path / "visits" / name)
    (tmp_path / "visits" / "readme.md").write_text("not an image")
    return tmp_path / "visits"


def test_a_folder_is_ordered_by_patient_side_and_date(visits: Path) -> None:
    frames = cohort_frames(visits)
    assert frames.names == ("notes.tif", NAMES[3], NAMES[2], NAMES[1], NAMES[0])
    assert [(p.patient, p.laterality, p.date) for p in frames.parts[1:3]] == [
        ("p01", "L", "2020-02-02"),
        ("p01", "R", "2019-12-24"),
    ]


def test_a_pattern_keeps_the_others_out(visits: Path) -> None:
    frames = cohort_frames(visits, r"(?P<id>p01)_(?P<laterality>[LR])_(?P<date>[-\d]+)")
    assert frames.names == (NAMES[3], NAMES[2], NAMES[1])
    with pytest.raises(ValueError, match="is found in 0 of 5 names"):
        cohort_frames(visits, "absent")


def test_a_list_keeps_its_order_and_begins_at_its_folder(visits: Path) -> None:
    for name, heading in (("list.txt", []), ("list.csv", ["image"])):
        path = visits.parent / name
        path.write_text("\n".join([*heading, f"visits/{NAMES[1]}", f"visits/{NAMES[0]}", ""]))
        assert cohort_frames(path).names == (NAMES[1], NAMES[0])
    assert cohort_frames(visits / "p0*.tif").names[0] == NAMES[3]
    (visits.parent / "short.txt").write_text("one.tif\n")
    with pytest.raises(ValueError, match="lists 1 images"):
        cohort_frames(visits.parent / "short.txt")


def test_a_first_image_that_is_damaged_stops_nothing(visits: Path) -> None:
    (visits / "notes.tif").write_bytes(b"II*\0 no image")
    frames = cohort_frames(visits)
    assert frames.count == 5
    with pytest.raises(ValueError, match=r"notes\.tif"):
        frames.read(0)


def test_rows_arrive_as_they_become_known(visits: Path) -> None:
    (visits / "notes.tif").write_bytes(b"II*\0 no image")
    options = {"template": "image", "image": 1, "linear": "none", "deform": "none"}
    rows: dict[int, list[Member]] = defaultdict(list)
    result = register_cohort(visits, options=options, arrived=lambda k, row: rows[k].append(row))
    assert sorted(rows) == [0, 1, 2, 3, 4]
    assert "notes.tif" in rows[0][0].problem
    assert [row.verdict is not None for row in rows[2]] == [False, True]
    assert rows[2][-1].cells() == result.members[2].cells()
    assert result.table()[0][-3:] == ["patient", "side", "date"]
    assert result.table()[4][-3:] == ["p01", "R", "2021-01-05"]
