"""`register_cohort` on images whose correspondence is known."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Affine, Grid, Image, load_transform, register_cohort
from napari_voxreg.cohort.earlier import remove_outdated
from napari_voxreg.cohort.group import CohortOptions, CohortResult, Member, cohort_frames
from napari_voxreg.cohort.group import tasks as module
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.io.images import read_image, write_image

QUICK = {"linear": "rigid", "rounds": 2}


def pairwise_error(result: CohortResult, places: np.ndarray) -> float:
    """Mean distance of the points of each image from those of the first, brought there by both transforms."""
    grid = result.template.grid
    common = [t.inverse(grid)(p) for t, p in zip(result.transforms, places, strict=True) if t is not None]
    return float(np.linalg.norm(np.array(common) - np.mean(common, axis=0), axis=2).mean())


@pytest.fixture(scope="module")
def group(cohort: Any) -> CohortResult:
    return register_cohort(cohort.images, options=QUICK)


def test_a_group_agrees_and_its_mean_is_drawn_to_no_image(cohort: Any, group: CohortResult) -> None:
    before = np.linalg.norm(cohort.places - cohort.places.mean(axis=0), axis=2).mean()
    assert pairwise_error(group, cohort.places) < 0.2 * before
    assert group.mean_displacement < 0.1
    one = register_cohort(cohort.images, options={**QUICK, "template": "image"})
    assert one.mean_displacement > 1.0
    assert pairwise_error(group, cohort.places) < 1.05 * pairwise_error(one, cohort.places)
    assert [member.verdict.outcome for member in group.members if member.verdict] == ["better"] * 5
    assert not group.notes


def test_images_that_lie_anyhow_form_a_group() -> None:
    rng = np.random.default_rng(3)
    scene = sum(gaussian_filter(rng.standard_normal((150, 140)), size) * size for size in (2, 5, 12))
    points = rng.uniform(30, 110, (30, 2))
    images, places = [], []
    for degrees, far in ((0, 0.0), (100, 900.0), (200, -40.0), (-60, 15.0)):
        angle, matrix = np.deg2rad(degrees), np.eye(3)
        matrix[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        matrix[:2, 2] = far
        grid = Grid.from_spacing(scene.shape, units="mm").moved(matrix)
        images.append(Image((scene + 0.1 * rng.standard_normal(scene.shape)).astype(np.float32), grid))
        places.append(Affine(matrix)(points))
    result = register_cohort(images, options={"linear": "pose", "rounds": 1})
    assert all(member.usable for member in result.members)
    assert pairwise_error(result, np.array(places)) < 0.2
    assert result.mean_displacement < 0.1


def test_the_mean_is_sharper_than_that_of_images_that_are_not_deformed(
    cohort: Any, group: CohortResult
) -> None:
    linear = register_cohort(cohort.images, options={**QUICK, "deform": "none"})
    assert group.sharpness > 1.05 * linear.sharpness
    assert group.mean.data.shape == (96, 96)


def test_the_best_template_resembles_the_others_most(cohort: Any) -> None:
    rng = np.random.default_rng(5)
    images = [image.with_data(image.data + 0.4 * rng.random(image.data.shape)) for image in cohort.images[:3]]
    images.insert(1, cohort.images[3])
    result = register_cohort(images, options={**QUICK, "template": "best", "deform": "none"})
    matrix = result.dissimilarities
    assert matrix is not None
    assert matrix.shape == (4, 4)
    assert np.median(np.delete(matrix[1], 1)) == min(np.median(np.delete(matrix[k], k)) for k in range(4))
    assert np.array_equal(result.template.data, images[1].data)


def test_images_without_a_part_in_the_mean_are_brought_onto_it(cohort: Any) -> None:
    options = {**QUICK, "template": "mean of the best", "best": 3}
    result = register_cohort(cohort.images, options=options)
    assert all(transform is not None for transform in result.transforms)
    assert pairwise_error(result, cohort.places) < 0.4


def test_all_pairs_agree_without_a_template(cohort: Any, tmp_path: Path) -> None:
    options = {**QUICK, "template": "all pairs"}
    result = register_cohort(cohort.images, options=options, folder=tmp_path)
    assert pairwise_error(result, cohort.places) < 0.1  # mm: a fifth of a pixel
    root = result.transforms.index(
        min(result.transforms, key=lambda t: np.abs(t(cohort.places[0]) - cohort.places[0]).max())
    )
    assert np.array_equal(result.template.data, cohort.images[root].data)
    assert result.disagreement is not None
    assert 0 < np.nanmax(result.disagreement) < 2
    result.save(tmp_path)
    kept = json.loads((tmp_path / "cohort.json").read_text())["disagreement of pairs, px"]
    assert kept[0][0] is None
    assert kept[0][1] == pytest.approx(result.disagreement[0, 1])


@pytest.mark.slow
def test_a_pair_that_shows_something_else_is_named(cohort: Any) -> None:
    rng = np.random.default_rng(8)
    other = cohort.images[0].with_data(gaussian_filter(rng.standard_normal((96, 96)), 3).astype(np.float32))
    images = [*cohort.images[:3], replace(other, name="other.tif")]
    result = register_cohort(images, options={"template": "all pairs", "linear": "pose", "deform": "none"})
    assert "other.tif" in " ".join(result.notes)
    assert all(transform is not None for transform in result.transforms[:3])


def test_images_of_8_and_of_16_bits(cohort: Any) -> None:
    def stored(image: Image, top: int, dtype: str) -> Image:
        scaled = (image.data - image.data.min()) / np.ptp(image.data)
        return image.with_data((top * scaled).astype(dtype))

    images = [stored(one, 250, "uint8") for one in cohort.images[:2]]
    images += [stored(one, 60_000, "uint16") for one in cohort.images[2:]]
    images.append(cohort.images[0].with_data(np.zeros((96, 96), np.uint8)))
    options = {"template": "image", "linear": "rigid", "deform": "none"}
    result = register_cohort(images, options=options)
    assert [member.problem for member in result.members] == [""] * 5 + ["It shows nothing."]


def test_neighbours_alone(cohort: Any) -> None:
    options = {"template": "all pairs", "neighbours": 1, "linear": "rigid", "deform": "none"}
    result = register_cohort(cohort.images, options=options)
    assert all(transform is not None for transform in result.transforms)
    assert result.disagreement is not None
    assert np.isnan(result.disagreement).all()


def test_one_failure_stops_nothing(cohort: Any, tmp_path: Path) -> None:
    for k, image in enumerate(cohort.images):
        write_image(image, tmp_path / f"visit {k}.tif")
    (tmp_path / "visit 2.tif").write_bytes(b"II*\0 no image")
    write_image(Image(np.ones((96, 96), np.float32), cohort.images[0].grid), tmp_path / "visit 3.tif")
    result = register_cohort(tmp_path, options={**QUICK, "deform": "none", "template": "best"})
    assert [bool(member.problem) for member in result.members] == [False, False, True, True, False]
    assert "visit 2.tif" in result.members[2].problem
    assert result.members[3].problem == "It shows nothing."
    assert result.notes[0].startswith("2 of 5 images are unusable")
    assert result.transforms[2] is None


def test_a_repeated_run_does_only_what_has_changed(
    cohort: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {**QUICK, "template": "image"}
    first = register_cohort(cohort.images[:4], options=options, folder=tmp_path)
    runs: list[str] = []
    original = module.register

    def counted(*arguments: Any, **words: Any) -> Any:
        runs.append(words["method"])
        return original(*arguments, **words)

    monkeypatch.setattr(module, "register", counted)
    rows: list[tuple[int, Member]] = []

    def arrived(number: int, member: Member) -> None:
        rows.append((number, member))

    again = register_cohort(cohort.images[:4], options=options, folder=tmp_path, arrived=arrived)
    assert not runs
    kept = {number for number, member in rows if member.transform is not None and member.verdict is None}
    assert kept == {0, 1, 2, 3}
    points = cohort.images[0].grid.nodes()
    for one, other in zip(first.transforms, again.transforms, strict=True):
        assert one is not None
        assert other is not None
        assert np.array_equal(one(points), other(points))
    assert "taken from an earlier run" in again.notes[0]
    changed = [*cohort.images[:3], cohort.images[4]]
    register_cohort(changed, options=options, folder=tmp_path)
    assert runs == ["rigid", "diffeo"]


def test_a_run_that_was_broken_off_goes_on(cohort: Any, tmp_path: Path) -> None:
    done: list[str] = []

    def stop(fraction: float | None, message: str, metric: float | None = None) -> None:
        done.append(message)
        if message == "aligning p2.tif":
            raise Cancelled

    options = {**QUICK, "template": "image", "deform": "none"}
    with pytest.raises(Cancelled):
        register_cohort(cohort.images, options=options, folder=tmp_path, progress=stop)
    assert len(list((tmp_path / "work").glob("*.h5"))) == 2
    result = register_cohort(cohort.images, options=options, folder=tmp_path)
    assert result.notes == ("2 registrations were taken from an earlier run.",)


def test_a_folder_is_of_one_run_at_a_time(cohort: Any, tmp_path: Path) -> None:
    said = []

    def second(fraction: float | None, message: str, metric: float | None = None) -> None:
        if not said:
            with pytest.raises(ValueError, match="Another run writes into") as raised:
                register_cohort(cohort.images[:2], options=options, folder=tmp_path)
            said.append(str(raised.value))

    options = {"template": "image", "linear": "rigid", "deform": "none"}
    register_cohort(cohort.images[:2], options=options, folder=tmp_path, progress=second)
    assert said
    register_cohort(cohort.images[:2], options=options, folder=tmp_path)


def test_save(group: CohortResult, tmp_path: Path) -> None:
    folder = group.save(tmp_path / "out")
    table = (folder / "cohort.csv").read_text(encoding="utf-8").splitlines()
    assert table[0].startswith("image,verdict,problem,LNCC before,LNCC after")
    assert len(table) == 6
    template = read_image(folder / "template.tif")
    assert template.grid.same_as(group.template.grid)
    points = template.grid.nodes()
    kept = load_transform(folder / "images" / "p1" / "transform.h5")
    assert group.transforms[1] is not None
    assert np.allclose(kept(points), group.transforms[1](points), atol=1e-6)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "cohort.json").write_text("{}")
    with pytest.raises(ValueError, match="something else"):
        group.save(tmp_path / "other")


def test_a_template_that_fits_no_image_is_refused_with_the_reason(cohort: Any) -> None:
    volume = Image(np.zeros((8, 8, 8), np.float32), Grid.from_spacing((8, 8, 8), units="millimeter"))
    with pytest.raises(ValueError, match=r"No image could be aligned \(.*3D.*\); choose another template"):
        register_cohort(cohort.images[:2], options={"linear": "rigid", "deform": "none"}, template=volume)


def test_what_is_refused(cohort: Any) -> None:
    flat = Image(np.zeros((96, 96), np.float32), cohort.images[0].grid)
    for images, options, reason in (
        (cohort.images[:1], {}, "needs two or more"),
        (cohort.images, {"image": 9}, "no image 9"),
        ([cohort.images[0], flat], {}, "Only 1 of 2 images are usable"),
        ([*cohort.images[:2], flat], {"template": "image", "image": 2}, "cannot be the template"),
        (cohort.images, {"template": "median"}, "template cannot be"),
    ):
        with pytest.raises(ValueError, match=reason):
            register_cohort(images, options=options)


def test_options_are_declared() -> None:
    assert {info.name for info in CohortOptions.infos()} == {
        "template",
        "image",
        "best",
        "linear",
        "deform",
        "rounds",
        "neighbours",
    }
    assert all(info.help.endswith(".") for info in CohortOptions.infos())


def test_images_of_different_sizes(cohort: Any) -> None:
    larger = cohort.images[1]
    padded = Image(
        np.pad(larger.data, ((8, 4), (0, 6))),
        Grid.from_spacing((108, 102), 0.5, (-4.0, 0.0), units="millimeter"),
        "padded",
    )
    images = [cohort.images[0], padded, cohort.images[2]]
    result = register_cohort(images, options={**QUICK, "deform": "none"})
    assert pairwise_error(result, cohort.places[:3]) < 1.0


def test_what_an_earlier_run_wrote_and_nothing_else_is_removed(cohort: Any, tmp_path: Path) -> None:
    options = {"template": "image", "linear": "rigid", "deform": "none"}
    frames = cohort_frames(cohort.images[:3])
    first = register_cohort(frames, options=options, folder=tmp_path)
    first.save(tmp_path)
    first.save_images(frames, tmp_path)
    images = tmp_path / "images"
    own = [images / "p1" / "mine.txt", images / "mine" / "transform.h5", images / "p0" / "notes.txt"]
    for path in own:
        path.parent.mkdir(exist_ok=True)
        path.write_text("mine")
    again = register_cohort(cohort.images[:2], options=options, folder=tmp_path)
    assert "Saving removes the results of images that are no longer in the cohort: p2." in again.notes
    assert again.notes[-1].endswith("folders of no image of the cohort, with files of others: mine.")
    again.save(tmp_path)
    found = {path.relative_to(images).as_posix() for path in images.rglob("*") if path.is_file()}
    transforms = {f"{name}/transform.{ending}" for name in ("p0", "p1") for ending in ("h5", "json")}
    # The aligned images were those of transforms that are no longer there.
    assert found == {path.relative_to(images).as_posix() for path in own} | transforms
    assert not (images / "p2").exists()


def test_a_record_removes_nothing_outside_of_its_folder(tmp_path: Path) -> None:
    outside, folder = tmp_path / "outside.tif", tmp_path / "out"
    folder.mkdir()
    outside.write_text("mine")
    (folder / "link.tif").symlink_to(outside)
    names = ["../outside.tif", str(outside), "link.tif", 3]
    for given in (names[:3], names, "outside.tif"):
        (folder / "cohort.json").write_text(json.dumps({"files": given}))
        remove_outdated(folder / "cohort.json", [])
    assert outside.read_text() == "mine"
    assert (folder / "link.tif").is_symlink()
