"""A file is what it holds, whatever it is called; anything else is refused in a sentence."""

import gzip

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import load_transform, save_transform
from napari_voxreg.io.transforms import FORMATS, WRITTEN
from napari_voxreg.io.transforms.loading import format_of

from .conftest import affine, field, grid, spline
from .test_bigwarp import landmarks
from .test_bigwarp import write as write_landmarks
from .test_linear import geometry, lta

WHERE = grid(2, 1)


def samples(folder):
    """A file of each format that shows what it is, by the format's name."""
    made = {
        name: save_transform(affine(2, 1), folder / f"{name}.x", WHERE, format=name)
        for name in ("matrix", "matrix-xyz")
    }
    made["itk"] = save_transform(field(WHERE, 1), folder / "i.h5", format="itk")
    made["itk-text"] = save_transform(affine(2, 1), folder / "i.tfm")
    made["itk-matlab"] = save_transform(affine(2, 1), folder / "i.mat")
    made["elastix"] = save_transform(spline(WHERE, 1), folder / "e.txt", WHERE, format="elastix")
    made["nifti"] = save_transform(field(WHERE, 1), folder / "n.nii.gz")
    made["flo"] = save_transform(affine(2, 1), folder / "f.flo", WHERE)
    made["bigwarp"] = write_landmarks(folder / "b.csv", *landmarks(2))
    made["freesurfer"] = lta(folder / "f.lta", np.eye(4), 1, geometry(grid(3, 1)), geometry(grid(3, 2)))
    made["afni"] = folder / "a.1D"
    made["afni"].write_text("# 3dAllineate matrices\n" + "1 0 0 4 0 1 0 5 0 0 1 6\n")
    euler = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3)
    sitk.WriteTransform(euler, str(folder / "m.xfm"))
    made["mni"] = folder / "m.xfm"
    np.save(folder / "napari.npy", affine(2, 1).matrix)
    made["napari"] = folder / "napari.npy"
    return made


# Formats without content of their own, and bare matrices, which need their name.
NAMED = {"ants", "nifti-ras", "bigwarp-affine", "fsl", "niftyreg"}


def test_every_format_is_told_by_its_content(tmp_path):
    (tmp_path / "made").mkdir()
    made = samples(tmp_path / "made")
    assert set(made) == set(FORMATS) - NAMED
    for name, path in made.items():
        for other in ("renamed", "renamed.h5", "renamed.txt"):
            target = tmp_path / other
            target.write_bytes(path.read_bytes())
            assert format_of(target) == name
            found, expected = load_transform(target), load_transform(path)
            there = np.random.default_rng(0).uniform(0, 5, (20, expected.ndim))
            assert np.array_equal(found(there), expected(there))


@pytest.mark.parametrize("fraction", [0.02, 0.3, 0.7, 0.97])
def test_truncated_files_are_refused_or_read_in_a_sentence(fraction, tmp_path):
    """Text that was cut off between its numbers may still be a transform."""
    refused = []
    for name, path in samples(tmp_path).items():
        content = path.read_bytes()
        path.write_bytes(content[: int(fraction * len(content))])
        try:
            load_transform(path)
        except ValueError as error:
            said = str(error)
            assert path.name.partition(".")[0] in said and said.endswith(".") and "\n" not in said, name
            refused.append(name)
    assert {"itk", "nifti", "flo", "itk-matlab", "matrix"} <= {
        *refused,
        *(["matrix"] if fraction > 0.9 else []),
    }


@pytest.mark.parametrize(
    "content",
    [b"", b"\0" * 500, b"hello\n", b"\x89PNG\r\n", gzip.compress(b"x" * 999, mtime=0), b"{}", b"\x1f\x8b"],
)
def test_what_is_no_transform_is_refused(content, tmp_path):
    (tmp_path / "t.dat").write_bytes(content)
    with pytest.raises(ValueError, match=r"^[^\n]*t\.dat[^\n]*\.$"):
        load_transform(tmp_path / "t.dat")


def test_an_unknown_format_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'zip' is no format of transform files; choose from: itk, "):
        load_transform(tmp_path / "t", format="zip")
    assert {"itk", "ants", "elastix", "nifti", "flo", "matrix"} <= set(WRITTEN)


def test_several_independent_transforms_are_refused_with_the_reason(tmp_path):
    for name in ("t.tfm", "t.h5"):
        sitk.WriteTransform(sitk.TranslationTransform(2, (5.0, 6.0)), str(tmp_path / name))
    text = (tmp_path / "t.tfm").read_text()
    (tmp_path / "t.tfm").write_text(text + text.partition("\n")[2].replace("#Transform 0", "#Transform 1"))
    with pytest.raises(ValueError, match="holds 2 transforms that do not follow each other"):
        load_transform(tmp_path / "t.tfm")


TEXTS = {"matrix", "matrix-xyz", "itk-text", "elastix", "bigwarp", "freesurfer", "afni", "mni"}


def test_a_byte_order_mark_changes_nothing(tmp_path):
    """Editors of Windows put one before a text."""
    made = {name: path for name, path in samples(tmp_path).items() if name in TEXTS}
    assert set(made) == TEXTS
    for name, path in made.items():
        expected = load_transform(path)
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
        assert format_of(path) == name
        there = np.random.default_rng(0).uniform(0, 5, (20, expected.ndim))
        assert np.array_equal(load_transform(path)(there), expected(there))


def test_an_lta_may_begin_with_its_type(tmp_path):
    path = lta(tmp_path / "t.lta", np.eye(4), 1, geometry(grid(3, 1)), geometry(grid(3, 2)))
    text = path.read_text()
    path.write_text(text[text.index("type") :], encoding="utf-8-sig")
    assert np.allclose(load_transform(path).matrix, np.eye(4))
