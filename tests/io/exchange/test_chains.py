"""Several files as one transform, of which one needs its format or its own images."""

import numpy as np
import pytest

from napari_voxreg import Affine, Displacement, Grid, save_transform
from napari_voxreg.registration.pair_transform import open_transform

GRID = Grid.from_spacing((6, 7, 8), (2.0, 1.0, 1.5), units="millimeter")
POINT = [[4.0, 3.0, 3.0]]


@pytest.fixture
def files(tmp_path):
    """A field by (1, 2, 3), the matrix of a move by (10, 20, 30) along (x, y, z), and a result of ours."""
    field = Displacement(np.broadcast_to([1.0, 2.0, 3.0], (*GRID.shape, 3)), GRID)
    matrix = np.eye(4)
    matrix[:3, 3] = 10, 20, 30
    np.savetxt(tmp_path / "m.mat", matrix)
    ours = save_transform(Affine.translation([0.5, 0.0, 0.0]), tmp_path / "ours.h5", GRID)
    return save_transform(field, tmp_path / "field.mha", GRID), tmp_path / "m.mat", ours


def test_a_flirt_matrix_in_a_chain_is_converted_by_itself_first(files):
    field, matrix, ours = files
    for chain in ([field, matrix], [matrix, field], [ours, matrix, field]):
        for kind in (None, "fsl"):
            with pytest.raises(
                ValueError, match=r"^m\.mat counts .* convert it to \.h5 by itself first"
            ) as said:
                open_transform(chain, GRID, GRID, kind)
            assert "give both" not in str(said.value)
    alone = open_transform(matrix, GRID, GRID)
    done = save_transform(alone.transform, matrix.with_name("flirt.h5"), GRID)
    both = open_transform([field, done], GRID, GRID).transform(POINT)
    assert np.allclose(both, alone.transform(np.add(POINT, [1, 2, 3])))


@pytest.mark.parametrize(("kind", "step"), [("matrix", [10, 20, 30]), ("matrix-xyz", [30, 20, 10])])
def test_the_format_is_that_of_the_files_that_show_none(kind, step, files):
    """Also against the ending of a name; a field and a result of ours stay what they are."""
    found = open_transform([files[0], files[2], files[1]], GRID, format=kind).transform
    assert np.allclose(found(POINT), np.add(POINT, [1.5, 2, 3]) + step)


def test_a_format_that_shares_its_content_holds_in_a_chain(files):
    """A field in RAS is told by its format alone, and the result beside it is not concerned."""
    found = open_transform([files[2], files[0]], format="nifti-ras").transform
    alone = open_transform(files[0], format="nifti-ras").transform
    assert np.allclose(found(POINT), alone(np.add(POINT, [0.5, 0, 0])))
    assert not np.allclose(alone(POINT), np.add(POINT, [1, 2, 3]))
