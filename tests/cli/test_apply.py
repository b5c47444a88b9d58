"""`napari-voxreg apply`: the same warp again, labels, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from napari_voxreg.cli.main import main
from napari_voxreg.io.images import read_image, write_image


def test_apply_repeats_the_warp_and_keeps_labels(pair: Path, registered: Path, tmp_path: Path) -> None:
    again = tmp_path / "deep" / "again.nii.gz"
    assert main(["apply", str(registered), str(pair / "moving.nii.gz"), "-o", str(again)]) == 0
    assert np.array_equal(read_image(again).data, read_image(registered / "warped.nii.gz").data)

    moving = read_image(pair / "moving.nii.gz")
    labels = np.where(moving.data > 0, 7, 200).astype(np.uint8)
    write_image(moving.with_data(labels), tmp_path / "labels.nrrd")
    target = tmp_path / "warped labels.nrrd"
    words = ["apply", registered / "transform.h5", tmp_path / "labels.nrrd", "-o", target, "--labels"]
    assert main([str(word) for word in words]) == 0
    assert set(np.unique(read_image(target).data)) == {0, 7, 200}


def test_apply_needs_a_record(
    pair: Path, registered: Path, tmp_path: Path, refused: Callable[..., str]
) -> None:
    (tmp_path / "alone.h5").write_bytes((registered / "transform.h5").read_bytes())
    words = ["apply", tmp_path / "alone.h5", pair / "moving.nii.gz", "-o", tmp_path / "x.nii.gz"]
    assert "record" in refused(*words)
