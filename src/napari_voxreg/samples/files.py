"""The simulated pairs as small files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ..core.geometry import Array
from ..images.preprocess import driving_channel
from ..io.files import replace_file
from ..io.images import write_image
from . import SAMPLES
from .base import Sample

ENDINGS = {"fundus": ".png", "sar": ".tif", "microscopy": ".tif", "brain2d": ".nii.gz", "brain3d": ".nii.gz"}
LANDMARKS = 40


def write_sample(sample: Sample, folder: Path | str) -> list[Path]:
    """Write a pair, its labels, and corresponding points of the true transform.

    Parameters
    ----------
    sample : Sample
        What to write.
    folder : path
        Where; made if need be.

    Returns
    -------
    list of Path
        NAME_fixed and NAME_moving (PNG, TIFF, GeoTIFF or NIfTI), NAME_labels_fixed and NAME_labels_moving
        where there are labels, and NAME_points_fixed.csv and NAME_points_moving.csv: world coordinates in
        array-axis order, line by line the same place.
    """
    folder = Path(folder)
    ending = ENDINGS[sample.name]
    images = {"fixed": sample.fixed, "moving": sample.moving}
    labels = {"labels_fixed": sample.labels_fixed, "labels_moving": sample.labels_moving}
    written = [
        write_image(image, folder / f"{sample.name}_{role}{ending}")
        for role, image in {**images, **labels}.items()
        if image is not None
    ]
    fixed = landmarks(sample)
    for role, points in (("fixed", fixed), ("moving", sample.truth(fixed))):
        written.append(_write_points(points, folder / f"{sample.name}_points_{role}.csv"))
    return written


def write_all(folder: Path | str) -> list[Path]:
    """Write every sample and a README into a folder; the same files every time."""
    folder = Path(folder)
    written = [path for info in SAMPLES.values() for path in write_sample(info.make(), folder)]
    lines = "\n".join(f"- **{info.name}**: {info.title}. {info.description}" for info in SAMPLES.values())
    replace_file(
        folder / "README.md", lambda path: path.write_text(README.format(lines), encoding="utf-8", newline="")
    )
    return [*written, folder / "README.md"]


def landmarks(sample: Sample) -> Array:
    """World points on what the fixed image shows, with partners in the moving image, (LANDMARKS, d)."""
    rng = np.random.default_rng(1)
    grid, pixels = sample.fixed.grid, driving_channel(sample.fixed).data
    index = rng.integers(
        np.array(grid.shape) // 8, np.array(grid.shape) * 7 // 8, (20 * LANDMARKS, grid.ndim)
    )
    lit = pixels[tuple(index.T)] > 0.15 * np.percentile(pixels, 99)  # not on the dark around head or eye
    points = grid.to_world(index[lit])
    return points[sample.moving.grid.contains(sample.truth(points))][:LANDMARKS]


def _write_points(points: Array, path: Path) -> Path:
    heading = ",".join(f"axis-{k}" for k in range(points.shape[1]))
    lines = [heading, *(",".join(f"{x:.4f}" for x in point) for point in points)]
    replace_file(
        path, lambda target: target.write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    )
    return path


README = """# Sample pairs

Simulated pairs of images to try registration on. All is drawn by the package itself, under its licence; only
the fundus image is a photograph, the retina that scikit-image ships (public domain, CC0): its
change is simulated.

{}

NAME_fixed and NAME_moving are the pair. Labels, where there are any, name the same anatomy in both. The
points are exact: line by line the same place in both images, in world units and array-axis order (plane,
row, column). PNG keeps no units: there it is pixels.

Made by `python -m napari_voxreg.samples sample_data`; the same files every time.
"""
