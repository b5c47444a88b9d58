"""A pair is read with all its members, or one sentence names the file that does not fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Affine, Grid, Image
from napari_voxreg.io.flo import write_flo
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet, content_hash, open_pairs, pack, read_pair
from napari_voxreg.io.points import PointFile, write_points
from napari_voxreg.io.transforms import save_transform

SHAPE = (6, 8)
GRID = Grid.from_spacing(SHAPE, (2.0, 3.0), (5.0, -1.0), units="millimeter")
RNG = np.random.default_rng(0)


@pytest.fixture
def pair(tmp_path: Path) -> Pair:
    """Images with mask, labels, landmarks and flow."""
    for name in ("fixed", "moving"):
        write_image(Image(RNG.random(SHAPE, np.float32), GRID), tmp_path / f"{name}.mha")
    write_image(
        Image(RNG.integers(0, 2, SHAPE).astype(np.uint8) * 255, Grid.from_spacing(SHAPE)), tmp_path / "m.png"
    )
    write_image(Image(RNG.integers(0, 9, SHAPE).astype(np.uint8), GRID), tmp_path / "labels.mha")
    for name in ("p", "q"):
        np.savetxt(tmp_path / f"{name}.csv", RNG.random((4, 2)), delimiter=",")
    write_flo(tmp_path / "u.flo", RNG.normal(size=(*SHAPE, 2)))
    return Pair(
        "pair",
        tmp_path / "fixed.mha",
        tmp_path / "moving.mha",
        fixed_mask=tmp_path / "m.png",
        moving_labels=tmp_path / "labels.mha",
        fixed_landmarks=tmp_path / "p.csv",
        moving_landmarks=tmp_path / "q.csv",
        displacement=tmp_path / "u.flo",
    )


def refused(pair: Pair, *words: str) -> None:
    with pytest.raises(ValueError) as caught:
        read_pair(pair)
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for word in words:
        assert word in sentence


def test_landmarks_of_slicer_correspond_by_label_also_in_a_pair_file(pair: Pair, tmp_path: Path) -> None:
    points = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    names = tmp_path / "f.fcsv", tmp_path / "m.mrk.json"
    write_points(PointFile(points, ("a", "b", "c"), "millimeter"), names[0])
    write_points(PointFile(points[::-1] + 1, ("c", "b", "a"), "millimeter"), names[1])
    ours = Pair("p", pair.fixed, pair.moving, fixed_landmarks=names[0], moving_landmarks=names[1])
    pack(PairSet((ours,), ()), tmp_path / "set.h5")
    for found in (read_pair(ours), read_pair(open_pairs(tmp_path / "set.h5").all[0])):
        assert np.array_equal(found.fixed_landmarks, points)
        assert np.array_equal(found.moving_landmarks, points + 1)
    write_points(PointFile(points + 1, ("a", "b", "d"), "millimeter"), names[1])
    assert any("has c, d; left out" in note for note in read_pair(ours).fixed.notes)


def test_all_members_are_read(pair: Pair) -> None:
    loaded = read_pair(pair)
    assert loaded.fixed.grid.same_as(GRID) and loaded.fixed.data.shape == SHAPE
    assert loaded.fixed_mask is not None and loaded.fixed_mask.data.dtype == bool
    assert 0 < loaded.fixed_mask.data.sum() < 48
    assert loaded.moving_labels is not None and loaded.moving_labels.data.max() == 8
    assert loaded.moving_mask is None and loaded.fixed_labels is None
    assert loaded.fixed_landmarks is not None and loaded.fixed_landmarks.shape == (4, 2)
    assert loaded.displacement is not None and loaded.displacement.shape == (2, *SHAPE)


def test_displacements_mean_the_same_from_every_file(pair: Pair, tmp_path: Path) -> None:
    field = np.broadcast_to(np.array([1.5, -2.0])[:, None, None], (2, *SHAPE))  # pixels
    matrix = np.eye(3)
    matrix[:2, 2] = 3.0, -6.0  # the same in millimetres
    np.save(tmp_path / "u.npy", field)
    write_flo(tmp_path / "u.flo", np.moveaxis(field, 0, -1))
    save_transform(Affine(matrix), tmp_path / "u.h5", GRID)
    sources = [tmp_path / "u.npy", tmp_path / "u.flo", tmp_path / "u.h5", field]
    for source in sources:
        loaded = read_pair(replace(pair, displacement=source))
        assert loaded.displacement is not None and loaded.displacement.dtype == np.float32
        np.testing.assert_allclose(loaded.displacement, field, atol=1e-5)


def test_a_displacement_of_itk_counts_in_millimetres_for_images_in_micrometres(tmp_path: Path) -> None:
    microns = Grid.from_spacing(SHAPE, (2.0, 3.0), units="micrometer")
    for name in ("fixed.tif", "moving.tif"):
        write_image(Image(RNG.random(SHAPE, np.float32), microns), tmp_path / name)
    matrix = np.eye(3)
    matrix[:2, 2] = 0.004, -0.006  # 2 pixels each, in millimetres
    truth = save_transform(Affine(matrix), tmp_path / "truth.tfm")
    loaded = read_pair(Pair("pair", tmp_path / "fixed.tif", tmp_path / "moving.tif", displacement=truth))
    assert loaded.displacement is not None
    np.testing.assert_allclose(loaded.displacement[:, 2, 3], [2, -2], atol=1e-4)


def test_axes_of_one_pixel_are_left_out(tmp_path: Path) -> None:
    thick = Grid.from_spacing((1, *SHAPE), (5.0, 2.0, 3.0), units="millimeter")
    write_image(Image(np.ones((1, *SHAPE), np.float32), thick), tmp_path / "a.mha")
    flat = Image(np.ones(SHAPE), GRID)
    points = RNG.random((4, 3))
    loaded = read_pair(
        Pair("p", tmp_path / "a.mha", flat, fixed_landmarks=points, moving_landmarks=points[:, 1:])
    )
    assert loaded.fixed.grid.shape == SHAPE
    np.testing.assert_array_equal(loaded.fixed_landmarks, points[:, 1:])


def test_what_does_not_fit_is_named(pair: Pair, tmp_path: Path) -> None:
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n cut")
    (tmp_path / "u.txt").write_text("1")
    (tmp_path / "bad.npy").write_bytes(b"no")
    np.save(tmp_path / "small.npy", np.zeros((2, 3, 3)))
    small = write_image(Image(np.zeros((3, 4), np.uint8), Grid.from_spacing((3, 4))), tmp_path / "small.png")
    solid = Image(np.zeros((4, 5, 6)), Grid.from_spacing((4, 5, 6)), "solid")
    np.savetxt(tmp_path / "three.csv", RNG.random((3, 2)), delimiter=",")
    np.savetxt(tmp_path / "deep.csv", RNG.random((4, 3)), delimiter=",")
    refused(replace(pair, fixed=tmp_path / "bad.png"), "bad.png")
    refused(replace(pair, moving=tmp_path / "gone.png"), "gone.png")
    refused(replace(pair, moving=solid), "pair", "2D", "3D")
    refused(replace(pair, fixed_mask=small), "mask small.png", "(3, 4)")
    refused(replace(pair, moving_labels=small), "label image small.png")
    refused(replace(pair, moving_landmarks=tmp_path / "three.csv"), "4 fixed and 3 moving")
    refused(replace(pair, fixed_landmarks=tmp_path / "deep.csv"), "deep.csv", "2D")
    refused(replace(pair, displacement=tmp_path / "small.npy"), "small.npy", "(2, 3, 3)")
    refused(replace(pair, displacement=tmp_path / "bad.npy"), "bad.npy")
    refused(replace(pair, displacement=tmp_path / "u.txt"), "u.txt")
    times = Grid.from_spacing((2, *SHAPE), units=("second", "mm", "mm"))
    refused(replace(pair, moving=Image(np.zeros((2, *SHAPE)), times, "film")), "film", "time")


def test_the_hash_follows_the_content_alone(pair: Pair, tmp_path: Path) -> None:
    known = content_hash(pair)
    assert len(known) == 64 and known == content_hash(replace(pair, name="other"))
    (tmp_path / "copy.mha").write_bytes((tmp_path / "fixed.mha").read_bytes())
    assert content_hash(replace(pair, fixed=tmp_path / "copy.mha")) == known
    assert content_hash(replace(pair, fixed=pair.moving, moving=pair.fixed)) != known
    assert content_hash(replace(pair, fixed_mask=None)) != known
    (tmp_path / "u.flo").write_bytes(b"changed")
    assert content_hash(pair) != known
    image = Image(np.zeros(SHAPE), GRID)
    memory = replace(pair, fixed=image)
    assert content_hash(memory) == content_hash(replace(pair, fixed=Image(np.zeros(SHAPE), GRID)))
    assert content_hash(memory) != content_hash(replace(pair, fixed=image.with_data(np.ones(SHAPE))))
    with pytest.raises(ValueError, match=r"gone\.mha"):
        content_hash(replace(pair, fixed=tmp_path / "gone.mha"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("fixed,moving,Moving \na.png,b.png,c.png\n", "two columns 'moving'"),
        ("fixed,moving\na.png,b.png,c.png\n", "Line 2"),
    ],
)
def test_cells_that_could_be_another_column_are_refused(tmp_path, text, said):
    (tmp_path / "pairs.csv").write_text(text)
    with pytest.raises(ValueError, match=said):
        open_pairs(tmp_path / "pairs.csv")
