"""Transform files of other programs as initial transforms of the Register panel."""

import numpy as np

from napari_voxreg import Grid, Image, load_transform
from napari_voxreg.core.progress import silent
from napari_voxreg.gui.layers.snapshots import snapshot
from napari_voxreg.gui.session.chosen import Chosen
from napari_voxreg.io.images import write_image

# The first voxel axis runs along the last axis of the world, so that the layer's axes are not the file's.
TURNED = np.array([[0.0, 0, 1], [0, 1, 0], [1, 0, 0]])


def test_flirt_counts_in_the_voxels_of_the_files(viewer, tmp_path):
    rng = np.random.default_rng(0)
    paths = []
    for name, shape in (("reference", (6, 7, 8)), ("input", (7, 8, 6))):
        grid = Grid.from_spacing(shape, (2.0, 1.5, 1.0), (5.0, -3.0, 2.0), TURNED, "millimeter")
        paths.append(write_image(Image(rng.random(shape).astype(np.float32), grid), tmp_path / f"{name}.nii"))
    matrix = np.array([[1, 0.1, 0, 3], [-0.1, 1, 0, 1], [0, 0, 1.1, 2], [0, 0, 0, 1]])
    np.savetxt(tmp_path / "flirt.mat", matrix)
    layers = [viewer.open(path, plugin="napari-voxreg")[0] for path in paths]
    taken = [snapshot(layer, viewer) for layer in layers]
    assert taken[0].levels[0].shape == (8, 7, 6)  # permuted
    chosen = Chosen(*taken, None, None, None, tmp_path / "flirt.mat", None, (0, 0))
    found = chosen.inputs(silent)["initial"].transform
    expected = load_transform(tmp_path / "flirt.mat", *paths)
    assert np.allclose(found.matrix, expected.matrix)
