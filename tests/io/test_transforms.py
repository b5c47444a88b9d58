import json
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import (
    Affine,
    BSpline,
    Composite,
    Displacement,
    Grid,
    Homography,
    Image,
    Quadratic,
    StationaryVelocity,
    ThinPlate,
    load_transform,
    register,
    save_transform,
    warp,
)
from napari_voxreg.io.transforms import fixed_grid, load_record

FIRST = Path(__file__).parent / "first_format"
FIRST_MEMBERS = {
    "native": ["Affine", "BSpline", "Displacement"],
    "inline": [
        "Homography",
        "Quadratic",
        "ThinPlate",
        "StationaryVelocity",
        "BSpline",
        "Affine",
        "Displacement",
    ],
}
TURN = np.array([[0.8, -0.6], [0.6, 0.8]])
GRID = Grid.from_spacing((20, 24), (0.7, 1.3), (5.0, -2.0), TURN, "micrometer")


def _all():
    rng = np.random.default_rng(0)
    affine = Affine(np.eye(3) + np.vstack([0.1 * rng.normal(size=(2, 3)), np.zeros(3)]))
    field = Displacement(rng.normal(size=(20, 24, 2)), GRID)
    spline = BSpline(rng.normal(size=(2, 20, 24)), GRID)
    velocity = StationaryVelocity(0.3 * rng.normal(size=(20, 24, 2)), GRID, steps=5)
    points = rng.uniform(-5, 30, (9, 2))
    plate = ThinPlate(points, points + rng.normal(size=(9, 2)), smoothing=0.1)
    homography = Homography(affine.matrix + np.array([[0] * 3, [0] * 3, [0.003, -0.002, 0]]))
    quadratic = Quadratic(rng.normal(size=(2, 6)) + np.eye(2, 6, 1) * 9, GRID.centre, 10.0)
    return {
        "affine": affine,
        "homography": homography,
        "quadratic": quadratic,
        "displacement": field,
        "bspline": spline,
        "velocity": velocity,
        "thin plate": plate,
        "native chain": Composite((affine, spline, field)),
        "mixed chain": Composite((homography, plate, velocity, spline, quadratic)),
    }


@pytest.mark.parametrize("kind", _all())
def test_numbers_come_back_exactly_twice_over(kind, tmp_path):
    transform = _all()[kind]
    path = save_transform(transform, tmp_path / "one" / "t.h5", GRID)
    loaded = load_transform(path)
    again = load_transform(save_transform(loaded, tmp_path / "two" / "t.h5", GRID))
    points = GRID.to_world(np.random.default_rng(1).uniform(-2, 25, (200, 2)))
    assert np.array_equal(transform(points), loaded(points))
    assert np.array_equal(loaded(points), again(points))
    image = Image(np.random.default_rng(2).normal(size=(20, 24)), GRID)
    assert np.array_equal(warp(image, transform, GRID).data, warp(image, loaded, GRID).data)


@pytest.mark.parametrize("kind", _all())
def test_itk_reads_the_same_map(kind, tmp_path):
    transform = _all()[kind]
    path = save_transform(transform, tmp_path / "t.h5", GRID)
    itk = sitk.ReadTransform(str(path))
    native = kind not in ("homography", "quadratic", "velocity", "thin plate", "mixed chain")
    exact = json.loads(path.with_suffix(".json").read_text())["h5"]["exact"]
    assert exact == ("everywhere" if native else "at the nodes of the fixed grid")
    anywhere = GRID.to_world(np.random.default_rng(4).uniform(-2, 25, (200, 2)))
    points = anywhere if native else GRID.nodes()
    expected = np.array([itk.TransformPoint(p[::-1].tolist())[::-1] for p in points])
    assert np.allclose(transform(points), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ["native", "inline"])
def test_files_of_the_first_format_are_read_exactly(name):
    """Chains of every kind, written before kinds recorded themselves; native ones keep arrays in the .h5."""
    record = load_record(FIRST / f"{name}.h5")
    loaded = load_transform(FIRST / f"{name}.h5")
    grid = fixed_grid(record)
    assert [type(member).__name__ for member in loaded.members] == FIRST_MEMBERS[name]
    expected = np.load(FIRST / f"{name}_points.npy")
    assert np.allclose(loaded(grid.nodes()[::3] + 0.125), expected, rtol=0, atol=1e-9)
    assert loaded.members[-1].inverse_error == 0.03125 and loaded.members[-1].grid.same_as(grid)
    assert loaded.to_records(inline=name == "inline") == record["members"]


def test_an_unknown_kind_is_refused(tmp_path):
    path = save_transform(_all()["homography"], tmp_path / "t.h5", GRID)
    side = path.with_suffix(".json")
    side.write_text(side.read_text().replace('"homography"', '"wormhole"'))
    with pytest.raises(ValueError, match="'wormhole'; it needs a newer napari-voxreg"):
        load_transform(path)


def test_itk_files_without_a_record_are_read(tmp_path):
    euler = sitk.Euler2DTransform((3.0, 4.0), 0.3, (1.0, -2.0))
    shift = sitk.TranslationTransform(2, (5.0, 6.0))
    composite = sitk.CompositeTransform(2)
    composite.AddTransform(shift)
    composite.AddTransform(euler)
    for name in ("t.tfm", "t.h5"):
        sitk.WriteTransform(composite, str(tmp_path / name))
        ours = load_transform(tmp_path / name)
        assert isinstance(ours, Affine)
        expected = composite.TransformPoint((7.0, 8.0))[::-1]
        assert np.allclose(ours([[8.0, 7.0]])[0], expected)


def test_the_record_says_how_it_was_made(tmp_path):
    rng = np.random.default_rng(3)
    fixed = Image(rng.normal(size=(20, 24)), GRID, "before")
    result = register(fixed, fixed, method="translation", params={"precision": 7})
    result.save(tmp_path)
    record = load_record(tmp_path)
    assert record["method"] == "translation" and record["parameters"] == {"precision": 7}
    assert record["inputs"]["fixed"]["name"] == "before" and len(record["inputs"]["moving"]["sha256"]) == 64
    assert record["units"] == ["micrometer", "micrometer"] and record["software"]["numpy"] == np.__version__
    assert record["scores"]["after"]["overlap"]["ncc"] == pytest.approx(1.0)
    assert fixed_grid(record).same_as(GRID)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["transform.h5", "transform.json"]


def test_damage_is_noticed(tmp_path):
    path = save_transform(_all()["affine"], tmp_path / "t.h5", GRID)
    other = save_transform(_all()["displacement"], tmp_path / "u.h5", GRID)
    path.write_bytes(other.read_bytes())
    with pytest.raises(ValueError, match=r"not the file that t\.json describes"):
        load_transform(path)
    path.with_suffix(".json").unlink()
    assert isinstance(load_transform(path), Displacement)
    path.write_bytes(b"not a transform")
    with pytest.raises(ValueError, match="not a transform file"):
        load_transform(path)
    with pytest.raises(ValueError, match="no transform at"):
        load_transform(tmp_path / "missing.h5")
    with pytest.raises(ValueError, match=r"ends in \.h5"):
        save_transform(_all()["affine"], tmp_path / "t.txt", GRID)


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch):
    def fail(*args):
        raise RuntimeError("disk full")

    monkeypatch.setattr(sitk, "WriteTransform", fail)
    with pytest.raises(OSError, match="disk full"):
        save_transform(_all()["affine"], tmp_path / "t.h5", GRID)
    assert list(tmp_path.iterdir()) == []
