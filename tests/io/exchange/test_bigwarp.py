"""BigWarp's landmark files as transforms."""

import json

import numpy as np
import pytest

from napari_voxreg import Affine, ThinPlate, load_transform
from napari_voxreg.io.transforms import read_transform

from .conftest import affine


def landmarks(ndim, count=9):
    """Fixed and moving points, (x, y, z), that an affine map does not explain."""
    rng = np.random.default_rng(ndim)
    fixed = rng.uniform(0, 50, (count, ndim))
    return fixed, affine(ndim, 1)(fixed) + rng.normal(size=fixed.shape)


def write(path, fixed, moving, active=None):
    """A file as BigWarp writes it: names and switches in quotes, the moving point first."""
    active = [True] * len(fixed) if active is None else active
    rows = []
    for k, (f, m, on) in enumerate(zip(fixed, moving, active, strict=True)):
        cells = [f"Pt-{k}", str(on).lower(), *m.tolist(), *f.tolist()]
        rows.append(",".join(f'"{str(cell).replace("inf", "Infinity")}"' for cell in cells))
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("ndim", [2, 3])
def test_the_spline_maps_fixed_onto_moving_landmarks(ndim, tmp_path):
    fixed, moving = landmarks(ndim)
    found = read_transform(write(tmp_path / "landmarks.csv", fixed, moving))
    assert isinstance(found.transform, ThinPlate) and not found.notes
    assert np.allclose(found.transform(fixed[:, ::-1])[:, ::-1], moving, atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_inactive_and_unset_landmarks_are_left_out(ndim, tmp_path):
    fixed, moving = landmarks(ndim)
    moving[3] += 1000.0
    fixed[5] = np.inf
    active = [k != 3 for k in range(len(fixed))]
    found = read_transform(write(tmp_path / "l.csv", fixed, moving, active))
    assert "inactive in BigWarp" in found.notes[0] and "not placed in both images" in found.notes[1]
    kept = np.delete(np.arange(9), [3, 5])
    assert np.allclose(found.transform(fixed[kept][:, ::-1])[:, ::-1], moving[kept], atol=1e-6)


@pytest.mark.parametrize("ndim", [2, 3])
def test_an_affine_map_is_fitted_on_request(ndim, tmp_path):
    fixed, _ = landmarks(ndim)
    truth = affine(ndim, 6)
    path = write(tmp_path / "l.csv", fixed, truth(fixed[:, ::-1])[:, ::-1])
    found = load_transform(path, format="bigwarp-affine")
    assert isinstance(found, Affine) and np.allclose(found.matrix, truth.matrix, atol=1e-6)


def test_few_landmarks_determine_a_rigid_map(tmp_path):
    path = write(tmp_path / "l.csv", np.array([[0.0, 0], [4, 0]]), np.array([[1.0, 1], [1, 5]]))
    found = read_transform(path)
    assert "determine a rigid map only" in found.notes[0]
    assert np.allclose(found.transform([[0.0, 4.0], [1.0, 0.0]]), [[5.0, 1.0], [1.0, 0.0]])


def test_the_json_of_newer_releases_is_read(tmp_path):
    fixed, moving = landmarks(3)
    record = {
        "type": "BigWarpLandmarks",
        "numDimensions": 3,
        "movingPoints": moving.tolist(),
        "fixedPoints": fixed.tolist(),
        "active": [True] * 8 + [False],
        "names": [f"Pt-{k}" for k in range(9)],
    }
    (tmp_path / "l.json").write_text(json.dumps(record))
    found = read_transform(tmp_path / "l.json")
    assert np.allclose(found.transform(fixed[:8, ::-1])[:, ::-1], moving[:8], atol=1e-6)
    record["fixedPoints"] = record["fixedPoints"][:3]
    (tmp_path / "l.json").write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"l\.json starts like landmarks of BigWarp"):
        load_transform(tmp_path / "l.json")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"a","true","1","2","3"', "starts like landmarks of BigWarp"),
        ('"a","true","1","2","3","x"', "not a transform file of a known format"),
        ('"a","true","1","2","3","4"\n"b","true","1"', "starts like landmarks of BigWarp"),
        ('"a","false","1","2","3","4"', "has no active landmark"),
    ],
)
def test_damaged_files_are_refused(text, words, tmp_path):
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"l\.csv .*{words}.*\.$"):
        load_transform(tmp_path / "l.csv")


@pytest.mark.parametrize("rounded", [15, 4])
@pytest.mark.parametrize("flat", ["fixed", "moving"])
def test_landmarks_in_one_plane_determine_a_rigid_map_and_a_note_says_so(flat, rounded, tmp_path):
    """Also where the plane is oblique and the numbers are rounded, so that they lie just beside it."""
    solid, _ = landmarks(3, 8)
    solid[:, 2] = solid[:, :2] @ [0.4, 0.3]
    thick = solid + np.outer(np.arange(8) % 3, [0, 0, 5.0])
    pairs = (solid, thick) if flat == "fixed" else (thick, solid)
    path = write(tmp_path / "l.csv", *(np.round(points, rounded) for points in pairs))
    found = read_transform(path, format="bigwarp-affine")
    linear = found.transform.matrix[:3, :3]
    assert np.allclose(linear @ linear.T, np.eye(3))
    assert "l.csv lie on one line or plane and determine a rigid map only" in found.notes[0]


@pytest.mark.parametrize("kind", ["bigwarp", "bigwarp-affine"])
def test_a_single_landmark_is_a_translation(kind, tmp_path):
    path = write(tmp_path / "l.csv", np.array([[1.0, 2.0]]), np.array([[4.0, 8.0]]))
    found = read_transform(path, format=kind)
    assert np.allclose(found.transform([[0.0, 0.0]]), [[6, 3]])
    assert "l.csv has one active landmark, which determines a translation only" in found.notes[0]


@pytest.mark.parametrize("apart", [0.0, 1e-7])
def test_two_landmarks_at_one_fixed_place_are_refused_as_a_spline(apart, tmp_path):
    fixed, moving = landmarks(2)
    fixed[4] = fixed[2] + apart
    path = write(tmp_path / "l.csv", fixed, moving)
    with pytest.raises(
        ValueError, match=r"^l\.csv has two fixed landmarks at one place.*bigwarp-affine\)\.$"
    ):
        load_transform(path)
    assert isinstance(load_transform(path, format="bigwarp-affine"), Affine)
