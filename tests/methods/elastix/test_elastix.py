"""elastix through the child process: presets, files, start, masks, points, its log, cancel, and failures."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import psutil
import pytest
from scipy import ndimage

from napari_voxreg.core import process
from napari_voxreg.core.geometry import Grid, Image
from napari_voxreg.core.progress import Cancelled, silent
from napari_voxreg.images.task import Task
from napari_voxreg.methods.elastix.log import LogReader, failure
from napari_voxreg.methods.elastix.method import METHOD
from napari_voxreg.methods.elastix.parameter_maps import preset_maps, read_map
from napari_voxreg.transforms import Affine, BSpline, Composite, Displacement, chain, warp

LOAD = "napari_voxreg.methods.elastix.load"
OBLIQUE = np.array([[0.8, 0.6], [0.6, -0.8]]) @ np.array([[1.0, 0.3], [0.0, 1.0]])  # rotation, flip, shear
AWKWARD = Grid.from_spacing((80, 96), (0.02, 0.03), (5, -3), OBLIQUE / np.linalg.norm(OBLIQUE, axis=0), "mm")
FAST = {"iterations": 100, "resolutions": 3, "samples": 2000}


@pytest.fixture(scope="module", autouse=True)
def child(children):
    process.warm(LOAD)
    yield
    process.shutdown()
    assert not children()


def texture(shape, seed=0):
    """A smooth random image from 0 to 1."""
    image = ndimage.gaussian_filter(np.random.default_rng(seed).random(shape), 3)
    return ((image - image.min()) / np.ptp(image)).astype(np.float32)


def pair(truth, grid=AWKWARD, seed=0):
    """A moving image on a larger grid, and a fixed image that is its warp through `truth`."""
    index = np.eye(grid.ndim + 1)
    index[:-1, -1] = -20
    wider = Grid(tuple(n + 40 for n in grid.shape), grid.affine @ index, grid.units)
    moving = Image(texture(wider.shape, seed), wider)
    return warp(moving, truth, grid), moving


def wave(grid, pixels):
    """A smooth displacement of at most about `pixels`, as world vectors."""
    index = np.indices(grid.shape, dtype=float)
    waves = [pixels * np.sin(2 * np.pi * index[(k + 1) % grid.ndim] / 90 + k) for k in range(grid.ndim)]
    return Displacement(np.stack(waves, axis=-1) @ grid.affine[:-1, :-1].T, grid)


def around_centre(matrix, shift_pixels, grid=AWKWARD):
    """The affine map by a matrix around the grid's centre, then a translation given in pixels."""
    full = np.eye(grid.ndim + 1)
    full[:-1, :-1] = matrix
    full[:-1, -1] = grid.centre - matrix @ grid.centre + grid.affine[:-1, :-1] @ shift_pixels
    return Affine(full)


def run(fixed, moving, preset=None, params=None, **changes):
    progress = changes.pop("progress", silent)
    return METHOD.run(
        Task(fixed, moving, **changes), METHOD.parameters(preset, {**FAST, **(params or {})}), progress
    )


def error(transform, truth, grid=AWKWARD, border=6):
    """Mean distance between two maps over the inner nodes, in pixels of mean size."""
    inner = np.zeros(grid.shape, dtype=bool)
    inner[(slice(border, -border),) * grid.ndim] = True
    nodes = grid.nodes()[inner.ravel()]
    return np.linalg.norm(transform(nodes) - truth(nodes), axis=1).mean() / np.sqrt(np.prod(grid.spacing))


ROTATION = np.array([[np.cos(0.1), -np.sin(0.1)], [np.sin(0.1), np.cos(0.1)]])
LINEAR = {
    "translation": around_centre(np.eye(2), (3, -2)),
    "rigid": around_centre(ROTATION, (2, 1)),
    "similarity": around_centre(1.1 * ROTATION, (2, 1)),
    "affine": around_centre(ROTATION @ np.array([[1.08, 0.06], [0, 0.95]]), (2, 1)),
}


@pytest.mark.parametrize("preset", list(LINEAR))
def test_linear_presets_find_their_motion_on_a_rotated_flipped_and_sheared_grid(preset):
    truth = LINEAR[preset]
    fixed, moving = pair(truth)
    outcome = run(fixed, moving, preset)
    assert isinstance(outcome.transform, Affine)
    assert error(Affine.identity(2), truth) > 1.5
    assert error(outcome.transform, truth) < 0.2
    linear = outcome.transform.matrix[:2, :2]
    if preset == "translation":
        np.testing.assert_array_equal(linear, np.eye(2))
    if preset in ("rigid", "similarity"):  # no shear
        np.testing.assert_allclose(linear @ linear.T, np.linalg.det(linear) * np.eye(2), atol=1e-9)


@pytest.mark.parametrize("preset", ["rigid", "similarity", "affine"])
def test_linear_presets_in_3d(preset):
    direction = np.linalg.qr(np.random.default_rng(3).random((3, 3)))[0]
    grid = Grid.from_spacing((24, 32, 36), (2.0, 1.0, 1.0), (100, -30, 7), direction, "mm")
    angles = np.linalg.qr(np.eye(3) + 0.08 * np.array([[0, -1, 0.5], [1, 0, -1], [-0.5, 1, 0]]))[0]
    rotation = angles * np.sign(np.diag(angles))
    truth = around_centre(rotation, (1, -2, 1), grid)
    fixed, moving = pair(truth, grid)
    outcome = run(fixed, moving, preset)
    before, after = (
        np.linalg.norm(t(grid.corners()) - truth(grid.corners()), axis=1).mean()
        for t in (Affine.identity(3), outcome.transform)
    )
    assert before > 2 and after < 0.4


def test_affine_and_bspline_are_two_stages_that_nothing_resampled():
    truth = chain(wave(AWKWARD, 1.5), LINEAR["rigid"])
    fixed, moving = pair(truth)
    outcome = run(fixed, moving)
    assert isinstance(outcome.transform, Composite)
    assert [type(m) for m in outcome.transform.members] == [Affine, BSpline]
    assert error(outcome.transform, truth) < 0.25
    assert {"elastix.log", "TransformParameters.0.txt", "TransformParameters.1.txt"} == set(outcome.files)
    assert len(outcome.trace) == 2 * 3 * 100
    assert np.mean(outcome.trace[-50:]) < np.mean(outcome.trace[:50])


def test_the_same_seed_gives_the_same_result_and_another_one_another():
    fixed, moving = pair(LINEAR["translation"])
    first, second, third = (
        run(fixed, moving, "affine", {"iterations": 20}, seed=seed).transform.matrix for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, second)
    assert not np.array_equal(first, third)


@pytest.mark.parametrize(
    "start",
    [
        chain(LINEAR["affine"], wave(AWKWARD.coarsened(1), 0.5)),
        BSpline(np.full((2, 12, 12), 0.05), Grid.from_spacing((12, 12), 0.5, (2.5, -5), units="mm")),
        chain(
            LINEAR["rigid"],
            BSpline(np.full((2, 12, 12), 0.05), Grid.from_spacing((12, 12), 0.5, (2.5, -5), units="mm")),
        ),
        wave(AWKWARD, 2.0),
    ],
    ids=["affine then field", "B-spline", "affine then B-spline", "field"],
)
def test_what_an_initial_transform_leaves_is_found(start):
    rest = LINEAR["similarity"]
    truth = chain(rest, start)
    fixed, moving = pair(truth)
    task = Task(fixed, moving).placed(start)
    params = METHOD.parameters(None, {**FAST, "bending": 1.0})
    outcome = METHOD.run(task, params, silent).followed_by(start)
    assert error(start, truth) > 1.5
    assert error(outcome.transform, truth) < 0.25


PARAMETER_FILE = """// one stage
(Registration "MultiResolutionRegistration")
(FixedImagePyramid "FixedSmoothingImagePyramid") // a comment
(MovingImagePyramid "MovingSmoothingImagePyramid")
(Interpolator "LinearInterpolator")
(Metric "AdvancedMattesMutualInformation")
(Optimizer "AdaptiveStochasticGradientDescent")
(ResampleInterpolator "FinalBSplineInterpolator")
(Resampler "DefaultResampler")
(Transform "{transform}")
(NumberOfResolutions 2)
(MaximumNumberOfIterations 60)
(ImageSampler "RandomCoordinate")
(NewSamplesEveryIteration "true")
(AutomaticTransformInitialization "false")
(AutomaticScalesEstimation "true")
(FinalGridSpacingInVoxels 24.0 24.0)
(BSplineTransformSplineOrder {order})
(HowToCombineTransforms "{how}")
(WriteResultImage "false")
"""


def parameter_file(path, transform="AffineTransform", order=3, how="Compose"):
    """Write a parameter file, as text or as TOML."""
    text = PARAMETER_FILE.format(transform=transform, order=order, how=how)
    if path.suffix == ".toml":
        lines = [line.partition("//")[0].strip().strip("()") for line in text.splitlines()]
        pairs = [line.split(maxsplit=1) for line in lines if line]
        text = "".join(
            f"{k} = {v if len(v.split()) == 1 else [float(x) for x in v.split()]}\n" for k, v in pairs
        )
    path.write_text(text)
    return path


def test_parameter_files_run_in_order(tmp_path):
    truth = LINEAR["similarity"]
    fixed, moving = pair(truth)
    files = (
        parameter_file(tmp_path / "first rigid.toml", "EulerTransform"),
        parameter_file(tmp_path / "second.txt"),
    )
    outcome = run(fixed, moving, "parameter files", {"parameter_files": files})
    assert error(outcome.transform, truth) < 0.3
    assert len(outcome.trace) == 2 * 2 * 60
    assert b"EulerTransform" in outcome.files["TransformParameters.0.txt"]
    assert (
        b'(InitialTransformParameterFileName "TransformParameters.0.txt")'
        in outcome.files["TransformParameters.1.txt"]
    )


@pytest.mark.parametrize("kind", [{"order": 2}, {"how": "Add"}])
def test_a_kind_of_transform_that_is_not_kept_becomes_a_field(tmp_path, kind):
    truth = chain(wave(AWKWARD, 1.5), LINEAR["translation"])
    fixed, moving = pair(truth)
    files = (
        parameter_file(tmp_path / "1.txt", "TranslationTransform"),
        parameter_file(tmp_path / "2.txt", "BSplineTransform", **kind),
    )
    outcome = run(fixed, moving, "parameter files", {"parameter_files": files})
    assert isinstance(outcome.transform, Displacement) and "dense field" in outcome.notes[0]
    assert error(outcome.transform, truth) < 0.4


@pytest.mark.parametrize(
    "name", ["none.txt", "empty.txt", "letter.txt", "result.txt", "bad.toml", "picture.png"]
)
def test_a_file_that_is_none_of_elastix_is_refused_by_name(tmp_path, name):
    content = {
        "empty.txt": "",
        "letter.txt": "Dear reader,\n(this is not it)\n",
        "result.txt": '(Transform "AffineTransform")\n(TransformParameters 1 0 0 1 0 0)\n',
        "bad.toml": "Transform = \n",
        "picture.png": "(Transform 1)(Metric 1)",
    }
    if name in content:
        (tmp_path / name).write_text(content[name])
    fixed, moving = pair(LINEAR["translation"])
    with pytest.raises(ValueError, match=name) as caught:
        run(fixed, moving, "parameter files", {"parameter_files": (tmp_path / name,)})
    assert "choose" in str(caught.value)


def test_parameter_files_must_fit_the_preset_and_the_images(tmp_path):
    fixed, moving = pair(LINEAR["translation"])
    path = parameter_file(tmp_path / "a.txt")
    with pytest.raises(ValueError, match="choose at least one"):
        run(fixed, moving, "parameter files")
    with pytest.raises(ValueError, match="remove them"):
        run(fixed, moving, "affine", {"parameter_files": (path,)})
    path.write_text(path.read_text() + "(FixedImageDimension 3)\n")
    with pytest.raises(ValueError, match="3D"):
        run(fixed, moving, "parameter files", {"parameter_files": (path,)})


def test_masks_hide_what_would_mislead():
    truth = LINEAR["translation"]
    fixed, moving = pair(truth)
    spoilt = fixed.data.copy()
    spoilt[:, :44] = moving.data[20:100, 20:64]  # here the images seem not to have moved
    keep = np.ones(AWKWARD.shape, dtype=bool)
    keep[:, :44] = False
    all_moving = Image(np.ones(moving.grid.shape, dtype=bool), moving.grid)
    fixed = fixed.with_data(spoilt)
    unmasked = run(fixed, moving, "translation")
    masked = run(fixed, moving, "translation", fixed_mask=Image(keep, AWKWARD), moving_mask=all_moving)
    assert error(unmasked.transform, truth) > 1
    assert error(masked.transform, truth) < 0.3


def test_corresponding_points_pull():
    truth = LINEAR["translation"]
    fixed, moving = pair(truth)
    elsewhere = moving.with_data(texture(moving.data.shape, seed=9))  # nothing to see in the images
    points = AWKWARD.coarsened(20).nodes()
    outcome = run(fixed, elsewhere, "translation", {"points_weight": 10.0}, landmarks=(points, truth(points)))
    assert error(Affine.identity(2), truth) > 1.5
    assert error(outcome.transform, truth) < 0.5


def test_progress_never_falls_and_carries_the_metric():
    fixed, moving = pair(LINEAR["translation"])
    seen = []
    run(fixed, moving, "affine", {"iterations": 600}, progress=lambda *report: seen.append(report))
    fractions = [f for f, *_ in seen if f is not None]
    assert fractions == sorted(fractions) and fractions[-1] > 0.5 and len(set(fractions)) > 2
    assert any("affine, resolution 2 of 3" in words for _, words, *_ in seen)
    assert any(len(report) > 2 and report[2] is not None for report in seen)


def test_images_that_hardly_meet_are_told_with_a_remedy():
    fixed, moving = pair(LINEAR["translation"])
    away = moving.with_grid(moving.grid.moved(Affine.translation([50.0, 50.0]).matrix))
    with pytest.raises(ValueError, match="initial transform 'centres'") as caught:
        run(fixed, away, "rigid")
    assert "elastix.log" in caught.value.__notes__[0]


def test_a_component_that_is_not_there_is_told(tmp_path):
    fixed, moving = pair(LINEAR["translation"])
    path = parameter_file(tmp_path / "a.txt", "NoSuchTransform")
    with pytest.raises(ValueError, match="component"):
        run(fixed, moving, "parameter files", {"parameter_files": (path,)})


def transformed(points, folder, progress):
    """In the child: points (N, d) through the last of elastix's own transform files, by transformix."""
    from napari_voxreg.methods.elastix.load import itk

    d = points.shape[1]
    last = sorted(Path(folder).glob("TransformParameters.*.txt"))[-1]
    listing = [" ".join(map(repr, row)) for row in points[:, ::-1].tolist()]
    (Path(folder) / "in.txt").write_text("\n".join(["point", str(len(listing)), *listing, ""]))
    image = itk.Image[itk.F, d]
    parameters = itk.ParameterObject.New()
    parameters.ReadParameterFile(str(last))
    transformix = itk.TransformixFilter[image].New()
    blank = image.New()
    blank.SetRegions([4] * d)
    blank.Allocate()
    transformix.SetMovingImage(blank)
    transformix.SetTransformParameterFileName(str(last))
    transformix.SetFixedPointSetFileName(str(Path(folder) / "in.txt"))
    transformix.SetOutputDirectory(str(folder))
    transformix.Update()
    lines = (Path(folder) / "outputpoints.txt").read_text().splitlines()
    found = [line.split("OutputPoint = [")[1].split("]")[0].split() for line in lines]
    return np.array(found, dtype=float)[:, ::-1]


def test_transformix_maps_points_as_the_transform_does(tmp_path):
    fixed, moving = pair(LINEAR["affine"])
    outcome = run(fixed, moving, params={"iterations": 20})
    for name, content in outcome.files.items():
        (tmp_path / name).write_bytes(content)
    points = AWKWARD.coarsened(16).nodes()
    by_transformix = process.call(transformed, points, tmp_path)
    np.testing.assert_allclose(by_transformix, outcome.transform(points), atol=1e-5)


def test_presets_do_not_depend_on_the_unit_of_the_world():
    params = METHOD.parameters(None, {"bending": 2.0})
    small, large = (Grid.from_spacing((50, 60), (2 * s, s)) for s in (1.0, 1000.0))
    maps = [preset_maps(params, g, 0, masked=False, landmarks=True)[1] for g in (small, large)]
    assert maps[0]["FinalGridSpacingInVoxels"] == maps[1]["FinalGridSpacingInVoxels"]
    weights = [[float(m[f"Metric{n}Weight"][0]) for n in range(3)] for m in maps]
    assert weights[1] == pytest.approx([1, 1e6 * weights[0][1], 1e-3 * weights[0][2]])


def test_reading_a_parameter_file(tmp_path):
    read = read_map(parameter_file(tmp_path / "a.txt"), 2)
    assert read["Transform"] == ("AffineTransform",) and read["FinalGridSpacingInVoxels"] == ("24.0", "24.0")
    assert read_map(parameter_file(tmp_path / "a.toml"), 2) == read


def test_the_log_is_read_as_it_grows(tmp_path):
    log = tmp_path / "elastix.log"
    maps = [
        {
            "Transform": ("AffineTransform",),
            "NumberOfResolutions": ("1",),
            "MaximumNumberOfIterations": ("4",),
        },
        {
            "Transform": ("OddTransform",),
            "NumberOfResolutions": ("2",),
            "MaximumNumberOfIterations": ("4", "8"),
        },
    ]
    seen = []
    reader = LogReader(log, maps, lambda *report: seen.append(report))
    reader.beat(None, "")
    stage = "=============== start of ParameterMap ===============\n"
    steps = [
        f"words\n{stage}\nResolution: 0\n1:ItNr\t2:Metric\t3a:Time\n0\t-1.5\t0\n1\t-1.",
        "75\t1\n2\t-2\t1\n",
        f"Stopping condition\n5\t7\n{stage}Resolution: 0\n1:ItNr\t2:Metric\n0\tnan\n",
        "Resolution: 1\n1:ItNr\t2:Metric\n3\t-4\n",
    ]
    for step in steps:
        with log.open("a") as file:
            file.write(step)
        reader.beat(None, "")
    assert seen[0] == (None, "loading elastix")
    assert [report[0] for report in seen[1:]] == [1 / 16, 3 / 16, 5 / 16, 12 / 16]
    assert seen[2] == (3 / 16, "affine, resolution 1 of 1", -2.0)
    assert seen[4][1] == "OddTransform, resolution 2 of 2"
    assert reader.trace[:3] == [-1.5, -1.75, -2.0] and np.isnan(reader.trace[3])


def test_failures_without_a_known_reason_quote_elastix():
    said = failure("Description: ITK ERROR: Foo(0x55c0): The moon is full.\n")
    assert said.startswith("elastix failed: The moon is full; ")
    assert "Bad index; see" in failure(
        "all was well\n", "file.cxx:3:\nITK ERROR: ParameterObject(0x1f): Bad index.\n"
    )
    itself = "ITK ERROR: ElastixRegistrationMethod(0x1f): Internal elastix error: See elastix log."
    assert "without a reason" in failure("nothing", itself)


# The last test, so that none waits for the new child to load elastix again.
def test_cancel_in_the_middle_is_prompt_and_leaves_one_warm_child(children):
    fixed, moving = pair(LINEAR["translation"])
    pids = {process.pid for process in children()}
    requested = 0.0

    def progress(fraction, words, metric=None):
        nonlocal requested
        if metric is not None and fraction > 0.02:
            requested = time.perf_counter()
            raise Cancelled

    with pytest.raises(Cancelled):
        run(fixed, moving, "affine", {"iterations": 100_000}, progress=progress)
    assert time.perf_counter() - requested < 1
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert len(children()) == 1
