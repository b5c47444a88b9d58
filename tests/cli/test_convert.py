"""`napari-voxreg convert`, and transforms of other programs in apply and register."""

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import Affine, BSpline, Displacement, Grid, Image, load_transform, save_transform
from napari_voxreg.cli.main import main
from napari_voxreg.io.images import read_image, write_image
from napari_voxreg.transforms import chain

GRID = Grid.from_spacing((12, 14), (2.0, 1.0), (5.0, -3.0), units="millimeter")
AFFINE = Affine([[1.1, 0.1, 2.0], [-0.1, 0.9, 1.0], [0, 0, 1]])


@pytest.fixture
def files(tmp_path):
    """A fixed image, a chain for ANTs and a folder for what is made of it."""
    image = Image(np.random.default_rng(0).uniform(1, 2, GRID.shape).astype(np.float32), GRID)
    write_image(image, tmp_path / "fixed.nii.gz")
    field = Displacement(0.5 * np.random.default_rng(1).normal(size=(*GRID.shape, 2)), GRID)
    save_transform(chain(field, AFFINE), tmp_path / "a_", GRID, format="ants")
    return tmp_path


def run(*words):
    return main([str(word) for word in words])


@pytest.mark.parametrize("given", [["a_"], ["a_1Warp.nii.gz", "a_0GenericAffine.mat"]])
def test_a_chain_of_ants_becomes_a_transform_of_ours(given, files, capsys):
    out = files / "t.h5"
    paths = [files / name for name in given]
    assert run("convert", *paths, out, "--fixed", files / "fixed.nii.gz") == 0
    assert "t.h5" in capsys.readouterr().out
    there = GRID.nodes()
    assert np.allclose(load_transform(out)(there), load_transform(files / "a_")(there), atol=1e-5)
    assert run("convert", files / "t.h5", files / "f.nii.gz") == 0  # its record states the grid
    assert "exact at the pixels of the fixed image" in capsys.readouterr().out
    assert np.allclose(load_transform(files / "f.nii.gz")(there), load_transform(out)(there), atol=1e-5)


@pytest.mark.parametrize(
    ("name", "to", "grid"),
    [
        ("t.tfm", None, False),
        ("t.h5", "itk", False),
        ("t.h5", None, True),
        ("t.mat", None, False),
        ("t.csv", "matrix", False),
        ("t.txt", "matrix-xyz", False),
        ("t.txt", "elastix", True),
        ("t_", "ants", False),
        ("t.nii.gz", None, True),
        ("t.flo", None, True),
    ],
)
def test_every_format_is_written_and_read_again(name, to, grid, files):
    words = [*(["--to", to] if to else []), *(["--fixed", files / "fixed.nii.gz"] if grid else [])]
    assert run("convert", files / "a_0GenericAffine.mat", files / name, *words) == 0
    found = load_transform(files / name, fixed=files / "fixed.nii.gz" if name == "t.flo" else None)
    nodes = GRID.nodes()
    assert np.allclose(found(nodes), AFFINE(nodes), atol=1e-3)


def test_what_is_missing_is_said_with_its_remedy(files, capsys):
    def said(*words):
        assert run("convert", *words) == 2
        out = capsys.readouterr().err
        assert "Traceback" not in out and out.count("\n") <= 2
        return out

    np.savetxt(files / "m.txt", np.eye(3))
    np.savetxt(files / "flirt.mat", np.eye(4))
    warp = files / "a_1Warp.nii.gz"
    assert "state its format (--format" in said(files / "m.txt", files / "o.h5")
    assert "--fixed and --moving" in said(files / "flirt.mat", files / "o.h5")
    assert "(--fixed)" in said(files / "a_0GenericAffine.mat", files / "o.h5")
    assert "state it (--to)" in said(warp, files / "o.xyz")
    assert "affine maps and B-splines only" in said(warp, files / "o.txt", "--to", "elastix")
    assert "not written as 'freesurfer'" in said(warp, files / "o.lta", "--to", "freesurfer")
    assert "is no format of transform files" in said(warp, files / "o.h5", "--format", "zip")
    assert "would be written over" in said(files / "a_0GenericAffine.mat", files / "a_", "--to", "ants")
    assert "There is no transform at" in said(files / "gone.tfm", files / "o.h5")
    assert not list(files.glob("o.*"))


def test_apply_takes_the_images_of_a_foreign_transform(files, capsys):
    """The fixed image's grid, which its file does not state, is where the result lies."""
    moving = Image(
        np.random.default_rng(3).uniform(size=(9, 10)).astype(np.float32), Grid.from_spacing((9, 10), 2.0)
    )
    write_image(moving.with_grid(Grid.from_spacing((9, 10), 2.0, units="millimeter")), files / "moving.mha")
    words = [files / "a_", files / "moving.mha", "-o", files / "out.mha"]
    assert run("apply", *words) == 2
    assert "give --fixed with that image, or --grid" in capsys.readouterr().err
    assert run("apply", *words, "--fixed", files / "fixed.nii.gz") == 0
    assert read_image(files / "out.mha").grid.same_as(GRID)
    np.savetxt(files / "m.txt", AFFINE.matrix)
    more = ["--fixed", files / "fixed.nii.gz", "--format", "matrix"]
    assert run("apply", files / "m.txt", files / "moving.mha", "-o", files / "m.mha", *more) == 0
    resampled = sitk.Resample(
        sitk.ReadImage(str(files / "moving.mha")),
        sitk.ReadImage(str(files / "fixed.nii.gz")),
        sitk.ReadTransform(str(files / "a_0GenericAffine.mat")),
    )
    assert np.allclose(read_image(files / "m.mha").data, sitk.GetArrayFromImage(resampled), atol=1e-4)


def test_register_starts_from_a_foreign_transform(files, capsys):
    np.savetxt(files / "m.txt", [[1, 0, 2.0], [0, 1, 0.0], [0, 0, 1]])
    pair = [files / "fixed.nii.gz", files / "fixed.nii.gz", "-m", "translation"]
    assert run("register", *pair, "-o", files / "r", "--initial", files / "m.txt") == 2
    assert "(--format" in capsys.readouterr().err
    assert run("register", *pair, "-o", files / "r", "--initial", files / "m.txt", "--format", "matrix") == 0
    assert run("register", *pair, "-o", files / "s", "--initial", files / "a_1Warp.nii.gz") == 0
    assert "a_0GenericAffine.mat, which is beside a_1Warp.nii.gz, is not applied" in capsys.readouterr().out


@pytest.fixture
def chained(files):
    """A B-spline and an affine map for elastix, c.txt and c.initial0.txt."""
    control = Grid.from_spacing((6, 6), 10.0, (-10.0, -15.0), units="millimeter")
    spline = BSpline(np.random.default_rng(2).normal(size=(2, 6, 6)), control)
    save_transform(chain(spline, AFFINE), files / "c.txt", GRID, format="elastix")
    return files


def test_the_files_that_elastix_needs_are_named_and_never_replace_others(chained, capsys):
    fixed = ["--to", "elastix", "--fixed", chained / "fixed.nii.gz"]
    assert run("convert", chained / "c.txt", chained / "d.txt", *fixed) == 0
    said = capsys.readouterr().out
    assert "d.txt needs d.initial0.txt beside it" in said
    assert f"Wrote {chained / 'd.txt'}, {chained / 'd.initial0.txt'}." in said
    assert run("convert", chained / "c.txt", chained / "d.txt", *fixed) == 0  # its own are replaced
    capsys.readouterr()
    before = (chained / "c.txt").read_bytes()
    for source, name in (("e.initial0.txt", "e.txt"), ("c.txt", "f.txt")):
        taken = chained / f"{name[0]}.initial0.txt"
        taken.write_bytes(before)
        assert run("convert", chained / source, chained / name, *fixed) == 2
        assert f"{taken.name}" in capsys.readouterr().err
        assert taken.read_bytes() == before and not (chained / name).exists()
    first = (chained / "c.initial0.txt").read_bytes()
    (chained / "g.txt").write_bytes(before)  # names c.initial0.txt, which is read with it
    assert run("convert", chained / "g.txt", chained / "c.txt", *fixed) == 2
    assert "c.initial0.txt is an input" in capsys.readouterr().err
    assert (chained / "c.initial0.txt").read_bytes() == first


@pytest.mark.parametrize("stale", ["r1Warp.nii.gz", "r1InverseWarp.nii.gz", "r2Affine.mat"])
def test_a_file_of_another_run_of_ants_is_not_taken_for_a_part(stale, files, capsys):
    (files / stale).write_bytes((files / "a_1Warp.nii.gz").read_bytes())
    source = files / "a_0GenericAffine.mat"
    assert run("convert", source, files / "r", "--to", "ants") == 2
    assert f"{stale} is there already" in capsys.readouterr().err
    assert not (files / "r0GenericAffine.mat").exists()
    assert run("convert", source, files / "s", "--to", "ants") == 0
    assert capsys.readouterr().out == f"Wrote {files / 's0GenericAffine.mat'}.\n"
    assert run("convert", source, files / "s", "--to", "ants") == 0


def test_all_files_of_a_prefix_are_inputs(files, capsys):
    before = (files / "a_1Warp.nii.gz").read_bytes()
    words = [files / "a_", files / "a_", "--to", "ants", "--fixed", files / "fixed.nii.gz"]
    assert run("convert", *words) == 2
    assert "is an input and would be written over" in capsys.readouterr().err
    assert (files / "a_1Warp.nii.gz").read_bytes() == before


@pytest.mark.parametrize("name", ["o.txt", "o.h5", "o.nii.gz", "o.mha", "o.tfm", "o_"])
@pytest.mark.parametrize("role", ["--fixed", "--moving"])
def test_an_image_of_other_axes_than_the_transform_is_refused(role, name, files, capsys):
    for ndim, shape in ((2, (1, 6, 7)), (3, (6, 7))):
        write_image(Image(np.ones(shape, np.float32), Grid.from_spacing(shape)), files / f"{role}{ndim}.nrrd")
        image = files / f"{role}{ndim}.nrrd"
        save_transform(Affine.translation([1.0] * ndim), files / "in.tfm")
        to = ["--to", {"o.txt": "elastix", "o_": "ants"}[name]] if name in ("o.txt", "o_") else []
        assert run("convert", files / "in.tfm", files / name, role, image, *to) == 2
        assert f"is {ndim}D and the {role[2:]} image {len(shape)}D; give" in capsys.readouterr().err
        assert not list(files.glob("o*"))


def test_a_single_slice_is_a_volume(files):
    """A transform in 3D is written for a fixed image of one slice."""
    write_image(Image(np.ones((1, 6, 7), np.float32), Grid.from_spacing((1, 6, 7))), files / "slice.nrrd")
    save_transform(Affine.translation([1.0, 2.0, 3.0]), files / "in.tfm")
    assert (
        run("convert", files / "in.tfm", files / "o.txt", "--to", "elastix", "--fixed", files / "slice.nrrd")
        == 0
    )
    assert np.allclose(load_transform(files / "o.txt").matrix[:3, 3], [1, 2, 3])
