"""A result: on disk and back, damaged and old folders, how it shows itself."""

import base64
import hashlib
import html
import json
import math
import pickle
import re
from dataclasses import fields, replace
from pathlib import Path

import imageio.v3 as iio
import numpy as np
import pytest
import SimpleITK as sitk
from scipy.ndimage import gaussian_filter

from napari_voxreg import (
    METHODS,
    Affine,
    BSpline,
    Displacement,
    Grid,
    Homography,
    Image,
    compare,
    load_result,
    load_transform,
    register,
    warp,
)
from napari_voxreg.io.transforms import load_record
from napari_voxreg.metrics.pair import Scores
from napari_voxreg.metrics.verdict import Verdict
from napari_voxreg.registration import result as module
from napari_voxreg.registration.compare import to_dataframe
from napari_voxreg.registration.result import Result
from napari_voxreg.weights import FOLDER

GRIDS = {
    2: Grid.from_spacing((24, 32), (0.5, 0.7), (3.0, -2.0), units="millimeter"),
    3: Grid.from_spacing((10, 24, 32), (2.0, 0.5, 0.7), units="micrometer"),
}
SIMILARITIES = ("l1", "rmse", "ncc", "nmi", "ssim")


def scene(grid, seed=0):
    noise = np.random.default_rng(seed).normal(size=grid.shape)
    return Image(gaussian_filter(noise, 2).astype(np.float32), grid, f"scene {seed}")


def scores(value, error=None):
    """Scores of which each number is another, one of them nan."""
    whole = {name: value + k / 7 for k, name in enumerate(SIMILARITIES)}
    return Scores(whole, {**whole, "ssim": math.nan}, 0.987654321, 100 / 3, error)


def made(ndim=2, transform=None, landmarks=False, method="affine", **more):
    """A result as `register` would give it, without any registration."""
    grid = GRIDS[ndim]
    errors = (1.5, 1 / 3) if landmarks else (None, None)
    measure = "landmark error" if landmarks else "local correlation"
    verdict = Verdict("better", f"Better: {measure} 1.5 -> 0.333.", measure, 1.5, math.pi)
    return Result(
        transform=Affine.translation(np.arange(ndim) / 3) if transform is None else transform,
        fixed=grid,
        moving=replace(grid, shape=tuple(n + 1 for n in grid.shape)),
        method=method,
        params=METHODS[method].parameters(),
        seconds=1 / 3,
        before=scores(0.1, errors[0]),
        after=scores(0.2, errors[1]),
        verdict=more.pop("verdict", verdict),
        names=("Größe <1>", "moving"),
        hashes=("0" * 64, "1" * 64),
        notes=("One sentence.", "Another one."),
        trace=(1.0, math.nan, 1e-17),
        confidence=0.25,
        files={"elastix.log": b"\x00\xff text", "TransformParameters.0.txt": b""},
        device="cuda",
        weights=(("own.safetensors", "a" * 64), ("affine2d.safetensors", "b" * 64)),
        **more,
    )


def assert_same(a, b):
    """All fields are equal, nan to nan, but for the images, which are not saved."""
    for item in fields(Verdict):
        assert getattr(a.verdict, item.name) == pytest.approx(
            getattr(b.verdict, item.name), abs=0, nan_ok=True
        )
    for before, after in ((a.before, b.before), (a.after, b.after)):
        for side in ("whole", "overlap"):
            np.testing.assert_equal(dict(getattr(before, side)), dict(getattr(after, side)))
        for number in ("overlap_fraction", "folded", "landmark_error"):
            np.testing.assert_equal(getattr(before, number), getattr(after, number))
    for grid, other in ((a.fixed, b.fixed), (a.moving, b.moving)):
        assert (grid.shape, grid.units) == (other.shape, other.units)
        assert np.array_equal(grid.affine, other.affine)
    np.testing.assert_equal(a.trace, b.trace)
    points = a.fixed.nodes() + 0.1
    assert np.array_equal(a.transform(points), b.transform(points))
    for name in ("method", "params", "seconds", "names", "hashes", "notes", "confidence", "files", "device"):
        assert getattr(a, name) == getattr(b, name), name
    assert a.weights == b.weights and dict(a.software) == dict(b.software)
    assert list(a.extras) == list(b.extras)


@pytest.mark.parametrize("landmarks", [False, True])
@pytest.mark.parametrize("ndim", [2, 3])
def test_a_result_comes_back_whole(tmp_path, ndim, landmarks):
    field = np.random.default_rng(0).normal(size=(*GRIDS[ndim].shape, ndim))
    result = made(ndim, Displacement(field, GRIDS[ndim]), landmarks)
    path = result.save(tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "transform.h5"
    for there in (path.parent, path, path.with_suffix(".json")):
        assert_same(load_result(there), result)
    again = load_result(load_result(path).save(tmp_path / "again"))
    assert_same(again, result)
    assert again.to_dict() == result.to_dict()


@pytest.mark.parametrize("outcome", ["worse", "unchanged", "unclear"])
def test_any_verdict_comes_back(tmp_path, outcome):
    verdict = Verdict(outcome, "Unclear: landmark error nan; no pixel overlaps.", "LNCC", math.nan, math.nan)
    result = made(verdict=verdict, transform=Homography(np.array([[1, 0, 2], [0, 1, 0], [1e-4, 0, 1]])))
    result.save(tmp_path)
    assert_same(load_result(tmp_path), result)


def test_extras_come_back(tmp_path):
    rng = np.random.default_rng(0)
    grid = GRIDS[2]
    sheared = Grid((6, 7), [[1, 0.4, 2], [0, 1, 3], [0, 0, 1]], ("micrometer", "micrometer"))
    extras = {
        "velocity at 1/2 (of fixed)": Image(rng.normal(size=(6, 7, 2)), sheared),
        "velocity at 1/2 of fixed": Image(rng.normal(size=(6, 7, 1)).astype(np.float32), sheared, "one"),
        "inside": Image(rng.normal(size=grid.shape) > 0, grid.in_units(["micrometer"] * 2)),
        "labels": Image(rng.integers(0, 60000, grid.shape).astype(np.uint16), grid),
        "affine first": Affine.translation([1 / 3, 2.0]),
        "first step": Displacement(rng.normal(size=(*grid.shape, 2)), grid),
        "pixels": Image(rng.normal(size=(5, 5)), Grid.from_spacing((5, 5))),
    }
    made(extras=extras).save(tmp_path)
    loaded = load_result(tmp_path).extras
    assert list(loaded) == list(extras)
    for name, extra in extras.items():
        found = loaded[name]
        assert type(found) is type(extra)
        if isinstance(extra, Image):
            assert found.data.dtype == extra.data.dtype and np.array_equal(found.data, extra.data)
            assert np.array_equal(found.grid.affine, extra.grid.affine)
            assert found.grid.units == extra.grid.units and found.name == extra.name
        else:
            assert np.array_equal(found(grid.nodes()), extra(grid.nodes()))
    names = sorted(file.name for file in (tmp_path / "extras").iterdir())
    assert names[0] == "1-velocity_at_1_2_of_fixed_.mha" and len(names) == 9  # two transforms with their JSON


def test_extras_that_cannot_be_kept_are_named_in_the_record(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 2000)
    grid = GRIDS[2]
    extras = {
        "small": Image(np.ones((10, 10), np.float32), Grid.from_spacing((10, 10))),
        "large": Image(np.ones((30, 30), np.float32), Grid.from_spacing((30, 30))),
        "complex": Image(np.ones((3, 3), complex), Grid.from_spacing((3, 3))),
        "in seconds": Image(np.ones((3, 3)), Grid.from_spacing((3, 3), units="kilogram")),
        "affine": Affine.identity(2),
        "field": Displacement(np.zeros((*grid.shape, 2)), grid),
    }
    made(extras=extras).save(tmp_path)
    assert list(load_result(tmp_path).extras) == ["small", "affine"]
    entries = load_record(tmp_path)["extras"]
    assert [entry["name"] for entry in entries] == list(extras)
    assert [entry["name"] for entry in entries if entry["file"] is None] == [
        "large",
        "complex",
        "in seconds",
        "field",
    ]


def test_extras_and_files_that_were_removed_are_left_out(tmp_path):
    made(extras={"a": Affine.identity(2), "b": Affine.identity(2)}).save(tmp_path)
    (tmp_path / "extras" / "1-a.h5").unlink()
    (tmp_path / "elastix.log").unlink()
    loaded = load_result(tmp_path)
    assert list(loaded.extras) == ["b"] and list(loaded.files) == ["TransformParameters.0.txt"]


def test_a_network_is_recorded_with_its_weights(tmp_path):
    fixed = scene(Grid.from_spacing((64, 64)))
    moving = warp(fixed, Affine.translation([2.0, -1.0]), fixed.grid)
    result = register(fixed, moving, method="voxelmorph", preset="fast")
    shipped = ("voxelmorph2d.safetensors", "affine2d.safetensors")
    digests = tuple(hashlib.sha256((FOLDER / name).read_bytes()).hexdigest() for name in shipped)
    assert result.weights == tuple(zip(shipped, digests, strict=True))
    assert result.device in ("cpu", "cuda", "mps") and result.extras
    result.save(tmp_path)
    loaded = load_result(tmp_path)
    assert_same(loaded, result)
    assert loaded.to_dict()["weights"][0] == {"file": shipped[0], "sha256": digests[0]}
    # A file of the user's own counts by its name and content, wherever it is.
    own = tmp_path / "own.safetensors"
    own.write_bytes((FOLDER / shipped[0]).read_bytes())
    own.with_suffix(".json").write_bytes((FOLDER / "voxelmorph2d.json").read_bytes())
    chosen = {"weights": own, "affine_first": False}
    again = register(fixed, moving, method="voxelmorph", preset="fast", params=chosen)
    assert again.weights == (("own.safetensors", digests[0]),)
    again.save(tmp_path / "own")
    assert load_result(tmp_path / "own").params.weights == own


# Damaged and old ---------------------------------------------------------------------------------------


def missing(*keys):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        del record[keys[-1]]

    return change


def other(value, *keys):
    def change(record):
        for key in keys[:-1]:
            record = record[key]
        record[keys[-1]] = value

    return change


KEYS = (
    *("method", "parameters", "seconds", "device", "weights", "inputs", "scores", "verdict", "confidence"),
    *("notes", "trace", "software", "extras", "files", "members", "h5"),
)
DAMAGE = {
    **{f"no {key}": missing(key) for key in (*KEYS, "fixed grid", "moving grid")},
    **{f"{key} is a number": other(7, key) for key in KEYS if key not in ("seconds", "confidence")},
    "no outcome": missing("verdict", "outcome"),
    "unknown outcome": other("fine", "verdict", "outcome"),
    "a measured text": other("1.5", "verdict", "after"),
    "no scores after": missing("scores", "after"),
    "scores are a list": other([1], "scores", "before", "whole"),
    "a score is true": other(True, "scores", "before", "whole", "ssim"),
    "no name": missing("inputs", "moving", "name"),
    "a hash is a number": other(3, "inputs", "fixed", "sha256"),
    "seconds are a text": other("3", "seconds"),
    "seconds are huge": other(10**400, "seconds"),
    "unknown method": other("magic", "method"),
    "unknown parameter": other({"speed": 1}, "parameters"),
    "a parameter out of range": other({"levels": -1}, "parameters"),
    "grid without units": missing("moving grid", "units"),
    "grid of text": other("abc", "fixed grid", "shape"),
    "ragged grid": other([[1, 0], [1]], "moving grid", "affine"),
    "grid of nothing": other([[None] * 3] * 3, "moving grid", "affine"),
    "a trace of text": other(["a"], "trace"),
    "a file elsewhere": other(["../secret.txt"], "files"),
    "a file in a drive": other(["C:secret.txt"], "files"),
    "an extra elsewhere": other("../transform.h5", "extras", 0, "file"),
    "an extra of another size": other([1, 2, 3], "extras", 0, "shape"),
    "an extra of objects": other("O", "extras", 0, "type"),
    "an extra of no type": other("nothing", "extras", 0, "type"),
    "weights without a hash": missing("weights", 0, "sha256"),
    "weights as a text": other(["a"], "weights"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_record_is_refused_in_one_sentence(tmp_path, damage):
    made(extras={"x": Image(np.ones((3, 4), np.float32), Grid.from_spacing((3, 4)))}).save(tmp_path)
    (tmp_path.parent / "secret.txt").write_text("secret")
    side = tmp_path / "transform.json"
    record = json.loads(side.read_text())
    DAMAGE[damage](record)
    side.write_text(json.dumps(record))
    with pytest.raises(ValueError, match=r"transform\.json") as caught:
        load_result(tmp_path)
    text = str(caught.value)
    assert text.endswith(".") and "\n" not in text and len(text) < 400


def test_a_record_that_is_not_there_or_no_json(tmp_path):
    with pytest.raises(ValueError, match="no transform at"):
        load_result(tmp_path)
    made().save(tmp_path)
    side = tmp_path / "transform.json"
    for text in ("{", "[1, 2]", '{"format": "something else"}'):
        side.write_text(text)
        with pytest.raises(ValueError, match=r"transform\.json"):
            load_result(tmp_path)
    side.unlink()
    with pytest.raises(ValueError, match="use load_transform"):
        load_result(tmp_path)
    assert isinstance(load_transform(tmp_path), Affine)


def old_folder(folder: Path, **changes) -> None:
    """A folder as the version before `load_result` wrote it."""
    itk = sitk.AffineTransform(2)
    itk.SetTranslation((-2.0, 3.0))  # x, y
    path = folder / "transform.h5"
    sitk.WriteTransform(sitk.CompositeTransform([itk]), str(path))
    grid = {"shape": [24, 32], "affine": [[0.5, 0, 3], [0, 0.7, -2], [0, 0, 1]], "units": ["millimeter"] * 2}
    side = {
        "whole": {"l1": 0.1, "rmse": 0.2, "ncc": 0.3, "nmi": 1.1, "ssim": 0.4},
        "overlap": {"l1": None, "rmse": None, "ncc": None, "nmi": None, "ssim": None},
        "overlap fraction": 0.0,
        "folded percent": 0.0,
        "landmark error": 3.61,
    }
    record = {
        "format": "napari-voxreg transform",
        "version": 1,
        "maps": "world points of the fixed image to world points of the moving image",
        "axis order": "array axes: (row, column) or (plane, row, column)",
        "units": ["millimeter"] * 2,
        "fixed grid": grid,
        "h5": {
            "file": "transform.h5",
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
            "exact": "everywhere",
        },
        "members": [{"kind": "affine", "matrix": [[1, 0, 3.0], [0, 1, -2.0], [0, 0, 1]]}],
        "software": {"python": "3.11.7", "napari-voxreg": "0.0.9"},
        "method": "translation",
        "parameters": {"precision": 20},
        "seconds": 0.123,
        "inputs": {"fixed": {"name": "a", "sha256": "0"}, "moving": {"name": "b", "sha256": "1"}},
        "scores": {"before": side, "after": {**side, "landmark error": 0.05}},
        "verdict": "Better: landmark error 3.61 -> 0.05 millimeter; SSIM 0.40 -> 0.40; 0 % folded.",
        "confidence": None,
        "notes": ["A note."],
    }
    (folder / "transform.json").write_text(json.dumps({**record, **changes}, indent=1))


def test_a_folder_of_an_earlier_version_is_read(tmp_path):
    old_folder(tmp_path)
    assert np.array_equal(load_transform(tmp_path)(np.zeros((1, 2))), [[3.0, -2.0]])
    result = load_result(tmp_path)
    assert result.verdict.outcome == "better" and result.verdict.measure == "landmark error"
    assert result.verdict.sentence.startswith("Better: landmark error 3.61")
    assert math.isnan(result.verdict.before) and math.isnan(result.before.overlap["ssim"])
    assert result.after.landmark_error == 0.05 and result.method == "translation" and result.seconds == 0.123
    assert result.params == METHODS["translation"].parameters(params={"precision": 20})
    assert result.fixed.same_as(GRIDS[2]) and result.software["napari-voxreg"] == "0.0.9"
    assert result.moving is None and result.device == "" and result.trace == () and result.weights == ()
    assert "on cpu" not in repr(result) and "better" in repr(result)
    moving = scene(GRIDS[2], 1)
    shown = result.with_images(scene(GRIDS[2]), moving)
    assert shown.moving.same_as(moving.grid)
    assert_same(load_result(shown.save(tmp_path / "new")), shown)


@pytest.mark.parametrize(
    ("sentence", "outcome"),
    [
        ("Worse than before: local correlation 0.5 -> 0.4 where both overlap.", "worse"),
        ("Unchanged: local correlation 0.500 -> 0.500 where both overlap.", "unchanged"),
        ("Unclear: no pixel overlaps both before and after (overlap 0 % -> 0 %); look.", "unclear"),
    ],
)
def test_the_verdict_of_an_earlier_version_is_read(tmp_path, sentence, outcome):
    old_folder(tmp_path, verdict=sentence)
    verdict = load_result(tmp_path).verdict
    assert (verdict.outcome, verdict.sentence, verdict.measure) == (outcome, sentence, "local correlation")


# How it shows itself -----------------------------------------------------------------------------------


def overlays(text):
    """The PNG images in HTML."""
    return [
        iio.imread(base64.b64decode(found), extension=".png")
        for found in re.findall(r"base64,([^\"]+)", text)
    ]


def difference(overlay):
    """How far from grey an overlay is, away from its borders, where only one image may be."""
    inner = overlay[4:-4, 4:-4].astype(float)
    return float(np.abs(inner[..., 0] - inner[..., 1]).mean())


@pytest.mark.parametrize("ndim", [2, 3])
def test_it_shows_before_and_after_in_a_notebook(ndim):
    translation = np.arange(3, 3 - ndim, -1) * GRIDS[ndim].spacing
    fixed = scene(GRIDS[ndim])
    moving = warp(fixed, Affine.translation(-translation), GRIDS[ndim])
    result = made(ndim, Affine.translation(translation)).with_images(fixed, moving)
    text = result._repr_html_()
    before, after = overlays(text)
    assert before.shape == after.shape == (*GRIDS[ndim].shape[-2:], 3)
    assert difference(after) < 0.5 * difference(before)
    assert ("middle plane" in text) == (ndim == 3)
    assert (
        html.escape(result.verdict.sentence.replace("->", "→")) in text
        and "<td>local correlation (decides)</td>" in text
        and "SSIM" in text
        and "&lt;1&gt;" in text
        and "<1>" not in text
    )
    # The plane is the middle one: its red is the fixed image there.
    plane = fixed.data if ndim == 2 else fixed.data[5]
    assert np.corrcoef(plane.ravel(), after[..., 0].ravel())[0, 1] > 0.98


def test_previews_are_small_and_any_pixels_will_do():
    rng = np.random.default_rng(0)
    fixed = Image(rng.integers(0, 255, (700, 900, 3)).astype(np.uint8), Grid.from_spacing((700, 900)))
    moving = Image(rng.normal(size=(40, 40)) + 1e4, Grid.from_spacing((40, 40), 20.0))
    result = replace(made(), fixed=fixed.grid).with_images(fixed, moving)
    text = result._repr_html_()
    before, after = overlays(text)
    assert max(before.shape) <= 256 and before.shape == after.shape and len(text) < 1_000_000
    assert before[..., 1].std() > 20  # the outside does not flatten what is inside


def test_without_images_the_table_is_shown(tmp_path):
    made(landmarks=True).save(tmp_path)
    result = load_result(tmp_path)
    text = result._repr_html_()
    assert overlays(text) == [] and "landmark error" in text and "nan" in text
    with pytest.raises(ValueError, match=r"warp\(moving, result.transform, result.fixed\)"):
        _ = result.warped


def test_its_text_is_short_whatever_the_method():
    for name in METHODS:
        sentence = "Unclear: " + "very long " * 100
        verdict = Verdict("unclear", sentence, "local correlation", 1.23456789e-300, -9.87654321e300)
        text = repr(made(method=name, verdict=verdict))
        assert len(text) < 300 and name in text and "unclear" in text and "24 x 32" in text


def test_warped_is_the_moving_image_on_the_fixed_grid():
    rng = np.random.default_rng(0)
    fixed = scene(Grid.from_spacing((40, 50)))
    colours = rng.integers(0, 255, (40, 50, 3)).astype(np.uint8)
    result = register(fixed, colours, method="translation")
    assert result.warped.data.dtype == np.uint8 and result.warped.channels == 3
    assert np.array_equal(result.warped.data, warp(colours, result.transform, fixed.grid).data)
    assert result.moving_image.data is colours  # no copy is kept
    later = pickle.loads(pickle.dumps(result))
    assert later.moving_image is None and later.fixed_image is None
    assert_same(later, result)
    again = later.with_images(fixed, colours)
    assert np.array_equal(again.warped.data, result.warped.data)
    with pytest.raises(ValueError, match="is not on the result's fixed grid"):
        later.with_images(colours[:30], colours)


def test_a_slice_has_its_images_too():
    volume = scene(Grid.from_spacing((1, 40, 50), units="millimeter"))
    micrometres = volume.grid.in_units(["micrometer"] * 3)
    result = register(volume, volume.with_grid(micrometres), method="translation")
    assert result.warped.grid.same_as(result.fixed) and result.warped.ndim == 2
    assert np.allclose(result.warped.data, volume.data[0], atol=1e-5)


def test_compared_methods_can_be_shown_and_tabulated():
    fixed = scene(Grid.from_spacing((40, 50)))
    moving = warp(fixed, Affine.translation([2.0, -1.0]), fixed.grid)
    rows = compare(fixed, moving, methods=["translation"])
    assert rows[1].result.warped.grid is fixed.grid
    frame = to_dataframe(rows)
    assert list(frame["method"]) == ["before", "translation"] and list(frame["failure"]) == ["", ""]
    assert frame["SSIM"][1] == rows[1].scores.overlap["ssim"]
    assert math.isnan(frame["s"][0]) and frame["s"][1] == rows[1].result.seconds
    assert not frame["best"][0] and frame["best"][1] == (rows[1].outcome == "better")


def test_a_plain_dictionary_is_json():
    record = json.loads(json.dumps(made(landmarks=True).to_dict(), allow_nan=False))
    assert record["verdict"]["measure"] == "landmark error" and record["trace"][1] is None
    assert record["inputs"]["fixed"] == {"name": "Größe <1>", "sha256": "0" * 64}
    assert record["parameters"] == METHODS["affine"].parameters().as_dict()
    assert record["software"]["numpy"] == np.__version__


def test_a_transform_of_any_kind_is_part_of_a_result(tmp_path):
    grid = Grid.from_spacing((7, 8), 8.0, -12.0, units="millimeter")
    spline = BSpline(np.random.default_rng(0).normal(size=(2, 7, 8)), grid)
    made(transform=spline).save(tmp_path)
    assert np.array_equal(load_result(tmp_path).transform.coefficients, spline.coefficients)
