"""Export in the formats that the dialog offers."""

import shlex

import numpy as np
import pytest

from napari_voxreg import Affine, Displacement, Grid, load_transform
from napari_voxreg.gui.session.files import EXPORTS, export
from napari_voxreg.gui.session.script import shell_line
from napari_voxreg.io.transforms import OURS, WRITTEN
from napari_voxreg.transforms import chain

GRID = Grid.from_spacing((10, 12), 0.5, units="millimeter")
FIELD = Displacement(0.3 * np.random.default_rng(0).normal(size=(10, 12, 2)), GRID)
AFFINE = Affine([[1.1, 0.1, 0.2], [0, 0.9, 0.1], [0, 0, 1]])


@pytest.mark.parametrize("chosen", EXPORTS)
def test_each_entry_writes_its_format(chosen, result_of, tmp_path):
    name, endings = EXPORTS[chosen]
    assert name in (OURS, *WRITTEN)
    linear = name in ("elastix", "matrix", "matrix-xyz")
    result = result_of(*_images(), AFFINE if linear else chain(FIELD, AFFINE))
    path, _ = export(result, tmp_path / "out", chosen)
    assert path.name.endswith(endings) and path.exists()
    found = load_transform(tmp_path / "out_" if name == "ants" else path, GRID, GRID)
    nodes = GRID.nodes()
    assert np.allclose(found(nodes), result.transform(nodes), atol=1e-4)


def test_the_ending_overrules_the_entry(result_of, tmp_path):
    result = result_of(*_images(), AFFINE)
    path, notes = export(result, tmp_path / "out.nii.gz", "This program and ITK (*.h5)")
    assert path.name == "out.nii.gz" and "exact at the pixels" in notes[0]
    with pytest.raises(ValueError, match="does not say in which format"):
        export(result, tmp_path / "out.xyz", "elastix (*.txt)")


def _images():
    from napari_voxreg import Image

    pixels = np.random.default_rng(1).random(GRID.shape).astype(np.float32)
    return Image(pixels, GRID, "fixed"), Image(pixels, GRID, "moving")


def test_the_command_is_quoted_for_the_shell_of_the_platform():
    words = ["napari-voxreg", "register", r"C:\My images\a.tif", "b.tif"]
    assert shell_line(words, "win32") == r'napari-voxreg register "C:\My images\a.tif" b.tif'
    assert shlex.split(shell_line(words, "linux")) == words
