"""`napari-voxreg apply`: the same warp again, labels, points, folders, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Affine, Displacement, Grid, Image, apply, load_transform, save_transform
from napari_voxreg.cli.main import main
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.io.points import read_points
from napari_voxreg.registration import apply_files
from napari_voxreg.registration.apply_files import apply_to_folder


def run(*words: object) -> None:
    assert main(["apply", *map(str, words)]) == 0


@pytest.fixture
def many(pair: Path, tmp_path: Path) -> Path:
    """A folder with two images, a table, something else and a file that cannot be read."""
    folder = tmp_path / "many"
    folder.mkdir()
    moving = read_image(pair / "moving.nii.gz")
    write_image(moving, folder / "a.nii.gz")
    write_image(moving.with_data(moving.data[::-1]), folder / "b.mha")
    (folder / "a.csv").write_text("x,y,name\n10,20,left\n30,25,right\n")
    (folder / "notes.docx").write_text("no image")
    return folder


def test_apply_repeats_the_warp_and_keeps_labels(pair: Path, registered: Path, tmp_path: Path) -> None:
    again = tmp_path / "deep" / "again.nii.gz"
    run(registered, pair / "moving.nii.gz", "-o", again)
    assert np.array_equal(read_image(again).data, read_image(registered / "warped.nii.gz").data)

    moving = read_image(pair / "moving.nii.gz")
    labels = np.where(moving.data > 0, 7, 200).astype(np.uint8)
    write_image(moving.with_data(labels), tmp_path / "labels.nrrd")
    target = tmp_path / "warped labels.nrrd"
    for words in (["--labels"], ["--interpolation", "vote"]):
        run(registered / "transform.h5", tmp_path / "labels.nrrd", "-o", target, *words)
        assert set(np.unique(read_image(target).data)) == {0, 7, 200}


def test_apply_needs_a_record_or_a_grid(
    pair: Path, registered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "alone.h5").write_bytes((registered / "transform.h5").read_bytes())
    words = [tmp_path / "alone.h5", pair / "moving.nii.gz", "-o", tmp_path / "x.nii.gz"]
    assert "record" in refused("apply", *words)
    assert "no file nothere.png" in refused("apply", words[0], "nothere.png", *words[2:])
    run(*words, "--grid", pair / "fixed.nii.gz")
    assert np.array_equal(
        read_image(tmp_path / "x.nii.gz").data, read_image(registered / "warped.nii.gz").data
    )


def test_grid_size_and_background(pair: Path, registered: Path, tmp_path: Path) -> None:
    moving, out = pair / "moving.nii.gz", tmp_path / "out.nii.gz"
    run(
        registered,
        moving,
        "-o",
        out,
        "--pixel-size",
        "0.5",
        "--background",
        "nan",
        "--interpolation",
        "cubic",
    )
    fine = read_image(out)
    assert np.allclose(fine.grid.spacing, 0.5) and np.isnan(fine.data).any()
    run(registered, pair / "fixed.nii.gz", "-o", out, "--inverse")
    back = read_image(out)
    assert back.grid.same_as(read_image(moving).grid)
    found = apply(registered, read_image(pair / "fixed.nii.gz"), direction="fixed -> moving")
    assert np.array_equal(back.data, found)
    run(registered, moving, "-o", out, "--like", moving)
    assert read_image(out).grid.same_as(read_image(moving).grid)


def test_points_keep_their_table_and_come_back(
    registered: Path, tmp_path: Path, shift: tuple[float, float], capsys: pytest.CaptureFixture[str]
) -> None:
    table, there, back = (tmp_path / name for name in ("points.csv", "there.csv", "back.csv"))
    table.write_text("name,x,y\nleft,20,30\nright,35.5,40\n")
    run(registered, table, "-o", there, "--inverse")
    rows = there.read_text(encoding="utf-8").splitlines()
    assert rows[0] == "name,x,y" and rows[1].startswith("left,") and rows[2].startswith("right,")
    assert np.allclose(read_points(there), read_points(table) + shift, atol=0.3)
    run(registered, there, "-o", back)
    assert np.allclose(read_points(back), read_points(table), atol=1e-9)
    assert "Wrote" in capsys.readouterr().out


def test_points_of_slicer_and_elastix_stay_in_their_format(
    registered: Path, tmp_path: Path, shift: tuple[float, float], capsys: pytest.CaptureFixture[str]
) -> None:
    head = "# Markups fiducial file version = 4.10\n# CoordinateSystem = 0\n"
    line = "{k},{x},{y},0,0,0,0,1,1,1,0,{label},here,\n"
    (tmp_path / "p.fcsv").write_text(
        head + line.format(k=1, x=-20, y=-30, label="left") + line.format(k=2, x=-500, y=-40, label="far")
    )
    run(registered, tmp_path / "p.fcsv", "-o", tmp_path / "q.fcsv", "--inverse")
    assert "1 of the 2 fixed points lies outside the fixed image" in capsys.readouterr().out
    found = (tmp_path / "q.fcsv").read_text()
    assert found.startswith(head) and "left,here," in found and "far,here," in found
    expected = np.array([[0, 30.0 + shift[0], 20.0 + shift[1]]])
    assert np.allclose(read_points(tmp_path / "q.fcsv")[:1], expected, atol=0.3)
    run(registered, tmp_path / "p.fcsv", "-o", tmp_path / "q.txt", "--inverse")
    assert (tmp_path / "q.txt").read_text().startswith("point\n2\n")
    assert np.allclose(read_points(tmp_path / "q.txt"), read_points(tmp_path / "q.fcsv")[:, 1:])


def test_several_transforms_are_composed(pair: Path, registered: Path, tmp_path: Path) -> None:
    moving, out = read_image(pair / "moving.nii.gz"), tmp_path / "out.nii.gz"
    grid = moving.grid
    field = np.zeros((*grid.shape, 2))
    field[..., 0] = np.sin(np.indices(grid.shape)[1] / 9)
    second = save_transform(Displacement(field, grid), tmp_path / "second.h5", grid)
    run(registered, second, pair / "moving.nii.gz", "-o", out)
    both = apply([load_transform(registered), load_transform(second)], moving, grid=read_image(out).grid)
    assert np.array_equal(read_image(out).data, both)


def test_a_numerical_inverse_states_its_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    grid = Grid.from_spacing((40, 50), units="mm")
    field = np.stack([np.sin(np.indices(grid.shape)[1] / 6)] * 2, axis=-1)
    path = save_transform(Displacement(field, grid), tmp_path / "t.h5", grid)
    write_image(Image(field[..., 0].astype(np.float32), grid), tmp_path / "image.mha")
    words = ["--inverse", "--grid", tmp_path / "image.mha"]
    run(path, tmp_path / "image.mha", "-o", tmp_path / "back.mha", *words)
    assert "found numerically; it misses by" in capsys.readouterr().out


def test_a_folder_gives_files_of_the_same_names(
    many: Path, registered: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (many / "broken.tif").write_bytes(b"no image")
    before = {path: path.read_bytes() for path in many.iterdir()}
    run(registered, many, "-o", tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "a.nii.gz", "b.mha"]
    assert np.array_equal(
        read_image(tmp_path / "out" / "a.nii.gz").data, read_image(registered / "warped.nii.gz").data
    )
    said = capsys.readouterr().out
    assert "Wrote 3 of 4 files" in said and "broken.tif" in said
    assert before == {path: path.read_bytes() for path in many.iterdir()}


def test_nothing_of_the_users_is_replaced(
    many: Path, registered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    assert "is the folder of the inputs" in refused("apply", registered, many, "-o", many)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "b.tif").write_text("mine")
    assert "b.tif is there already" in refused("apply", registered, many, "-o", tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["b.tif"]
    image = many / "a.nii.gz"
    assert "is an input" in refused("apply", registered, image, "-o", image)
    table = many / "a.csv"
    assert "is an input" in refused("apply", registered, table, "-o", table)


def test_cancel_leaves_whole_files_only(many: Path, registered: Path, tmp_path: Path) -> None:
    def stop(fraction: float | None, message: str, metric: float | None = None) -> None:
        if "b.mha" in message:
            raise Cancelled

    with pytest.raises(Cancelled, match="2 of 3 files were written"):
        apply_to_folder(registered, many, tmp_path / "out", progress=stop)
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.csv", "a.nii.gz"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--background", "white"], "background cannot be 'white'; give a number, nan, or own."),
        (["--background", "inf"], "cannot be infinite"),
        (["--pixel-size", "0"], "pixel size cannot be 0"),
        (["--labels", "--interpolation", "cubic"], "leave out --interpolation, or --labels"),
        (["--interpolation", "best"], "invalid choice"),
        (["--grid", "nowhere.tif"], "no file nowhere.tif"),
    ],
)
def test_wrong_options_are_one_sentence(
    words: list[str], message: str, pair: Path, registered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    given = ["apply", registered, pair / "moving.nii.gz", "-o", tmp_path / "x.nii.gz", *words]
    assert message in refused(*given)


def test_wrong_tables_and_folders_are_one_sentence(
    registered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    table, out, empty = tmp_path / "t.csv", tmp_path / "o.csv", tmp_path / "empty"
    empty.mkdir()
    table.write_text("1,2,3\n4,5,6\n")
    assert "t.csv are 3D and the transform is 2D" in refused(
        "apply", registered, table, "-o", tmp_path / "o.csv"
    )
    assert "o.nii cannot hold points" in refused("apply", registered, table, "-o", tmp_path / "o.nii")
    table.write_text("x,y\n")
    assert "t.csv holds no points" in refused("apply", registered, table, "-o", out)
    assert "holds no images" in refused("apply", registered, empty, "-o", tmp_path / "out")
    (empty / "1.dcm").write_bytes(b"")
    assert "slices of DICOM" in refused("apply", registered, empty, "-o", tmp_path / "out")


def test_the_file_of_the_grid_is_kept(
    pair: Path,
    registered: Path,
    tmp_path: Path,
    refused: Callable[..., str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    grid = tmp_path / "grid.nii.gz"
    grid.write_bytes((pair / "fixed.nii.gz").read_bytes())
    before = grid.read_bytes()
    words = [registered, pair / "moving.nii.gz", "--grid", grid]
    assert "written over" in refused("apply", *words, "-o", grid)
    assert grid.read_bytes() == before
    assert main(["apply", *map(str, words), "-o", str(tmp_path / f"{'x' * 255}.nii.gz")]) == 1
    assert "cannot be written: File name too long; choose" in capsys.readouterr().err


def test_a_file_that_came_meanwhile_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = Grid.from_spacing((12, 14), units="mm")
    (tmp_path / "in").mkdir()
    for name in ("a", "b"):
        write_image(Image(np.ones((12, 14), np.float32), grid), tmp_path / "in" / f"{name}.mha")
    original = apply_files.apply

    def slowly(*args: object, **kwargs: object) -> object:
        (tmp_path / "out").mkdir(exist_ok=True)
        (tmp_path / "out" / "b.mha").write_text("MINE")
        return original(*args, **kwargs)

    monkeypatch.setattr(apply_files, "apply", slowly)
    options = apply_files.ApplyOptions(grid=grid)
    notes = apply_files.apply_to_folder(Affine.identity(2), tmp_path / "in", tmp_path / "out", options)
    assert (tmp_path / "out" / "b.mha").read_text(encoding="utf-8") == "MINE"
    assert "1 of 2" in notes[0] and "is there already" in notes[1]


@pytest.mark.parametrize("text", ["", "a line of words\n"])
def test_a_text_without_points_is_blamed_and_not_the_output(
    registered: Path, tmp_path: Path, refused: Callable[..., str], text: str
) -> None:
    (tmp_path / "e.txt").write_text(text)
    said = refused("apply", registered, tmp_path / "e.txt", "-o", tmp_path / "o.txt")
    assert said == "napari-voxreg: e.txt holds no points; give a table of points, or an image."
    assert "There is no file" in refused("apply", registered, tmp_path / "f.txt", "-o", tmp_path / "o.txt")
