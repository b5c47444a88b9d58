"""Points from tables."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Grid, Image, register
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import open_pairs
from napari_voxreg.io.pairs.reading import read_pair
from napari_voxreg.io.points import (
    PairFile,
    holds_points,
    read_point_file,
    read_point_pairs,
    read_points,
    write_point_pairs,
)


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


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ("x,y\n20,30\n", [30, 20]),
        ("y,x\n30,20\n", [30, 20]),
        ("X,Y,Z\n1,2,3\n", [3, 2, 1]),
        ("z,x,y\n3,1,2\n", [3, 2, 1]),
        ("column,row\n20,30\n", [30, 20]),
        ("Plane,Row,Col\n3,2,1\n", [3, 2, 1]),
        ("x,y,z,t,label\n1,2,3,0,7\n", [3, 2, 1]),  # ANTs
        (" ,Area,X,Y,XM\n1,40,20,30,9\n", [30, 20]),  # ImageJ's results
        ("index,axis-1,axis-0\n0,20,30\n", [30, 20]),
        ("index,axis-0,axis-1,axis-2\n0,3,2,1\n", [3, 2, 1]),
        ("x [µm],y [µm]\n20,30\n", [30, 20]),
        ("x (mm);y (mm)\n20;30\n", [30, 20]),
        ("Image\tName\tCentroid X µm\tCentroid Y µm\na.tif\tcell\t20\t30\n", [30, 20]),  # QuPath
        ("name,pos_x,pos_y\na,20,30\n", [30, 20]),
        ('"x","y"\n"20","30"\n', [30, 20]),
        ("30\t20\n", [30, 20]),
    ],
)
def test_columns_are_found_by_their_names(tmp_path, table, expected):
    path = tmp_path / "p.csv"
    path.write_text(table, encoding="utf-8")
    assert read_points(path).tolist() == [expected]


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("a,b\n1,2\n", "headings a, b, which name no coordinates"),
        ("x,label\n1,2\n", "name no coordinates"),
        ("x,row\n1,2\n", "name no coordinates"),
        ("x,z\n1,2\n", "name no coordinates"),
        ("x,y,Centroid X µm\n1,2,3\n", "2 columns for x; leave one"),
        ("x,y\n1,two\n", "not a table of points"),
    ],
)
def test_headings_that_name_no_coordinates_are_refused(tmp_path, table, words):
    path = tmp_path / "p.csv"
    path.write_text(table, encoding="utf-8")
    with pytest.raises(ValueError, match=rf"p\.csv .*{words}"):
        read_points(path)


def test_landmarks_of_other_programs_confirm_an_exact_shift(tmp_path):
    rng = np.random.default_rng(0)
    fixed = np.kron(rng.random((30, 35)), np.ones((4, 4)))
    moving = np.roll(fixed, (3, -4), (0, 1))
    (tmp_path / "f.csv").write_text("x,y\n20,30\n100,40\n60,90\n")
    (tmp_path / "m.csv").write_text("X,Y\n16,33\n96,43\n56,93\n")
    landmarks = read_points(tmp_path / "f.csv"), read_points(tmp_path / "m.csv")
    result = register(fixed, moving, method="translation", landmarks=landmarks)
    assert result.after.landmark_error < 0.5
    assert result.verdict.outcome == "better"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_tables_are_read_in_the_encodings_of_spreadsheets(tmp_path, encoding):
    path = tmp_path / "a.csv"
    path.write_bytes("Name,Centroid X µm,Centroid Y µm\r\nKöln,1.5,2\r\n".encode(encoding))
    found = read_point_file(path)
    assert found.points.tolist() == [[2, 1.5]] and found.labels == ("Köln",)
    path = tmp_path / "a.txt"
    path.write_bytes("point\n1\n1.5 2\n".encode(encoding))
    assert holds_points(path) and read_point_file(path).points.tolist() == [[2, 1.5]]


def test_pixels_are_no_table(tmp_path):
    (tmp_path / "a.csv").write_bytes(b"\xe9\x00\x01\n")
    with pytest.raises(
        ValueError, match=r"^a\.csv is not a text table of points; save them as CSV in UTF-8\.$"
    ):
        read_point_file(tmp_path / "a.csv")


def test_a_table_of_pairs_reads_its_landmarks_by_name(tmp_path):
    for name in ("a", "b"):
        pixels = np.random.default_rng(0).random((20, 30)).astype(np.float32)
        write_image(Image(pixels, Grid.from_spacing((20, 30))), tmp_path / f"{name}.tif")
        (tmp_path / f"{name}.csv").write_text("x,y\n25,3\n1,2\n")
    table = "fixed,moving,fixed_landmarks,moving_landmarks\na.tif,b.tif,a.csv,b.csv\n"
    (tmp_path / "pairs.csv").write_text(table)
    (pair,) = open_pairs(tmp_path / "pairs.csv").all
    assert read_pair(pair).fixed_landmarks.tolist() == [[3, 25], [2, 1]]


@pytest.mark.parametrize("d", [2, 3])
def test_pairs_come_back_to_the_last_digit_whatever_the_order_of_their_columns(tmp_path, d):
    fixed, moving = np.random.default_rng(d).uniform(-1e5, 1e5, (2, 7, d))
    path = write_point_pairs(PairFile(fixed, moving), tmp_path / "new" / "pairs.csv")
    again = read_point_pairs(path)
    assert np.array_equal(again.fixed, fixed) and np.array_equal(again.moving, moving)
    names = "xyz"[:d]
    head = [f"{side} {name}" for name in names for side in ("Moving", "Fixed")]
    columns = [side[:, d - 1 - k] for k in range(d) for side in (moving, fixed)]
    rows = [["me", *map(repr, row)] for row in np.transpose(columns).tolist()]
    lines = [";".join(row) for row in (["who", *head], *rows)]
    (tmp_path / "other.csv").write_text("\n".join(lines))
    again = read_point_pairs(tmp_path / "other.csv")
    assert np.array_equal(again.fixed, fixed) and np.array_equal(again.moving, moving)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("", "no headings, which name no coordinates of the fixed image"),
        ("x,y\n1,2\n", "x, y, which name no coordinates of the fixed image; call the columns fixed x"),
        ("fixed x,fixed y,moving x\n1,2,3\n", "no coordinates of the moving image"),
        ("fixed x,fixed y,moving x,moving y\n1,2,3\n", "a cell without a number; complete or delete"),
        ("fixed x,fixed y,moving x,moving y\n1,2,3,a\n", "a cell without a number"),
        ("fixed x,fixed y,fixed z,moving x,moving y\n1,2,3,4,5\n", "3 fixed and 2 moving"),
        ("fixed x,fixed y,fixed x,moving x,moving y\n1,2,3,4,5\n", "2 columns for x"),
    ],
)
def test_tables_that_are_no_pairs_are_refused(tmp_path, table, said):
    (tmp_path / "pairs.csv").write_text(table)
    with pytest.raises(ValueError, match=said):
        read_point_pairs(tmp_path / "pairs.csv")
    with pytest.raises(ValueError, match="There is no file of points"):
        read_point_pairs(tmp_path / "none.csv")
