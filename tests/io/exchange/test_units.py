"""Files that count in millimetres, for images in micrometres and in pixels."""

import numpy as np
import pytest
import SimpleITK as sitk

from napari_voxreg import Affine, Grid, save_transform
from napari_voxreg.registration.pair_transform import open_transform

MICRONS = Grid.from_spacing((32, 40), (8.0, 5.0), units="micrometer")
START = [[50.0, 100.0]]


@pytest.fixture
def ants(tmp_path):
    """A warp by 3 µm along both axes and an affine map by (20, 10) µm, in millimetres, as ANTs writes."""
    affine = sitk.AffineTransform(2)
    affine.SetTranslation([0.01, 0.02])
    sitk.WriteTransform(affine, str(tmp_path / "z0GenericAffine.mat"))
    field = sitk.GetImageFromArray(np.full((32, 40, 2), 0.003), isVector=True)
    field.SetSpacing((0.005, 0.008))
    sitk.WriteImage(field, str(tmp_path / "z1Warp.nii.gz"))
    return tmp_path / "z"


def test_every_file_of_a_chain_counts_in_the_units_of_its_fixed_image(ants):
    """One by one, they map as together, by the beginning of their names."""
    files = [ants.with_name("z1Warp.nii.gz"), ants.with_name("z0GenericAffine.mat")]
    for given in (ants, files, [files[0], files[1], Affine.identity(2)]):
        found = open_transform(given, MICRONS)
        assert np.allclose(found.transform(START), [[73, 113]], atol=1e-4)


def test_a_chain_counts_in_the_units_that_a_member_states(ants):
    """Of ours, by its record; before and after it."""
    ours, other = ants.with_name("ours.h5"), ants.with_name("z0GenericAffine.mat")
    save_transform(Affine.translation([-10.0, 30.0]), ours, MICRONS)
    for given in ([ours, other], [other, ours], [open_transform(ours), other]):
        assert np.allclose(open_transform(given).transform(START), [[60, 140]])
    assert np.allclose(open_transform(other).transform([[0.0, 0.0]]), [[0.02, 0.01]])


def test_units_of_a_chain_are_the_first_members(ants):
    """Of two records with different units, the first counts, whatever lies before it."""
    other, first, second = (ants.with_name(name) for name in ("z0GenericAffine.mat", "a.h5", "b.h5"))
    save_transform(Affine.translation([1.0, 2.0]), first, MICRONS)
    save_transform(Affine.translation([0.1, 0.2]), second, MICRONS.in_units(("millimeter",) * 2))
    found = open_transform([other, first, second]).transform
    assert np.allclose(found(START), [[50 + 20 + 1 + 100, 100 + 10 + 2 + 200]])


def test_a_chain_in_pixels_stays_as_it_is(ants):
    files = [ants.with_name("z1Warp.nii.gz"), ants.with_name("z0GenericAffine.mat")]
    found = open_transform(files, Grid.from_spacing((32, 40))).transform
    assert np.allclose(found([[0.05, 0.1]]), [[0.073, 0.113]], atol=1e-5)


@pytest.mark.parametrize("name", ["t.h5", "t.tfm", "t.txt", "t.mat", "t.nii.gz", "elastix.txt", "t_"])
def test_physical_files_count_in_millimetres(name, tmp_path):
    """All files that ITK reads say the same for an image in micrometres, and a note names the conversion."""
    kind = {"elastix.txt": "elastix", "t_": "ants", "t.txt": "itk-text", "t.h5": "itk"}.get(name)
    moved = Affine.translation([700.0, -200.0])
    path = save_transform(moved, tmp_path / name, MICRONS, format=kind)
    given = tmp_path / name if kind == "ants" else path
    raw = open_transform(given, format=kind)
    assert np.allclose(raw.transform([[0.01, 0.02]]), [[0.71, -0.18]], atol=1e-6) and not raw.notes
    back = open_transform(given, MICRONS, format=kind)
    assert np.allclose(back.transform(START), [[750, -100]], atol=1e-3)
    assert f"{given.name} are taken as millimetres and converted to µm" in " ".join(back.notes)
    pixels = open_transform(given, Grid.from_spacing((32, 40)), format=kind)
    assert np.allclose(pixels.transform([[0.01, 0.02]]), [[0.71, -0.18]], atol=1e-6) and not pixels.notes


def test_a_file_of_ours_counts_in_the_unit_of_its_record(tmp_path):
    path = save_transform(Affine.translation([700.0, -200.0]), tmp_path / "t.h5", MICRONS)
    for fixed in (None, MICRONS, MICRONS.in_units(("millimeter",) * 2)):
        found = open_transform(path, fixed)
        assert np.allclose(found.transform(START), [[750, -100]]) and not found.notes
    assert sitk.ReadTransform(str(path)).TransformPoint((0.0, 0.0)) == (-200, 700)


def test_a_flow_in_pixels_is_refused_within_a_chain_in_a_unit(ants):
    """Its images are not known there, so its pixels would count as micrometres."""
    flow = save_transform(Affine.translation([1.0, 2.0]), ants.with_name("u.flo"), MICRONS)
    affine = ants.with_name("z0GenericAffine.mat")
    with pytest.raises(ValueError, match=r"^u\.flo counts in pixels .* convert it to \.h5 by itself first"):
        open_transform([affine, flow], MICRONS)
    assert np.allclose(open_transform([flow, affine], MICRONS).transform(START), [[71, 112]], atol=1e-3)
    assert np.allclose(open_transform([affine, flow]).transform([[5.0, 5.0]]), [[5.145, 5.41]], atol=1e-3)
