"""Which points of two files correspond, and whether they lie on their images."""

from __future__ import annotations

import numpy as np
import pytest

from napari_voxreg import Grid, Image, register
from napari_voxreg.io.points import (
    BIGWARP,
    PairFile,
    PointFile,
    read_landmarks,
    write_point_pairs,
    write_points,
)

PLACES = np.array([[2.0, 3.0, 4.0], [5.0, 1.0, 7.0], [3.0, 8.0, 2.0], [6.0, 6.0, 6.0]])


def written(folder, name, order, labels=None):
    names = tuple("abcd"[k] for k in order) if labels is None else labels
    return write_points(PointFile(PLACES[list(order)], names, "millimeter"), folder / name)


@pytest.mark.parametrize("endings", [(".fcsv", ".mrk.json"), (".csv", ".fcsv"), (".csv", ".csv")])
def test_points_with_one_label_correspond(tmp_path, endings):
    fixed = written(tmp_path, f"f{endings[0]}", (0, 1, 2))
    moving = written(tmp_path, f"m{endings[1]}", (3, 2, 1, 0))
    found = read_landmarks(fixed, moving)
    assert np.array_equal(found.fixed, PLACES[:3]) and np.array_equal(found.moving, PLACES[:3])
    assert found.labels == ("a", "b", "c")
    assert found.notes == (f"Only one of {fixed.name} and {moving.name} has d; left out.",)


@pytest.mark.parametrize("labels", [("a", "a", "b"), ("", "a", "b"), ()])
def test_labels_that_name_no_single_point_do_not_count(tmp_path, labels):
    found = read_landmarks(
        written(tmp_path, "f.csv", (0, 1, 2)), written(tmp_path, "m.csv", (2, 1, 0), labels=labels)
    )
    assert np.array_equal(found.fixed, PLACES[:3]) and np.array_equal(found.moving, PLACES[2::-1])
    said = "Not every point of m.csv has a label of its own; paired in their order."
    assert found.notes == ((said,) if labels else ())


def test_points_without_a_common_label_are_paired_in_their_order_and_that_is_said(tmp_path):
    fixed = written(tmp_path, "f.csv", (0, 1), ("F-1", "F-2"))
    found = read_landmarks(fixed, written(tmp_path, "m.csv", (2, 3), ("G-1", "G-2")))
    assert np.array_equal(found.moving, PLACES[2:])
    assert found.notes == ("f.csv and m.csv have no labels in common; paired in their order.",)
    with pytest.raises(ValueError, match=r"2 fixed and 3 moving landmarks in f\.csv and m\.csv; write"):
        read_landmarks(fixed, written(tmp_path, "m.csv", (1, 2, 3), ("G-1", "G-2", "G-3")))


def test_a_file_of_pairs_given_twice_is_both(tmp_path):
    path = write_point_pairs(PairFile(PLACES, PLACES + 1), tmp_path / "a.csv", BIGWARP)
    found = read_landmarks(path, path)
    assert np.array_equal(found.fixed, PLACES) and np.array_equal(found.moving, PLACES + 1)


def test_points_beside_their_image_are_a_note_of_the_result():
    pixels = np.random.default_rng(0).random((20, 30)).astype(np.float32)
    image = Image(pixels, Grid.from_spacing((20, 30), 0.5, units="millimeter"), "noise")
    inside, beside = np.array([[2.0, 3.0], [4, 5]]), np.array([[2.0, 3.0], [4, -5]])
    said = "1 of the 2 moving points lies outside the moving image; check the units"
    result = register(image, image, method="translation", landmarks=(inside, beside))
    assert any(note.startswith(said) for note in result.notes)
    result = register(image, image, method="translation", landmarks=(inside, inside))
    assert not any("outside" in note for note in result.notes)
    # Micrometres for millimetres.
    result = register(image, image, method="translation", landmarks=(1000 * inside, inside))
    assert any(note.startswith("All fixed points lie outside the fixed image") for note in result.notes)
