"""Real cohorts onto several templates: ``python cohorts.py [NAME ...]``.

The cohorts lie in the folder `VOXREG_PAIRS`. For every kind of template: how well the images agree with each
other, over all pairs, once each is brought onto the template (mean Dice of the labels, or landmark error);
the sharpness of the mean; the length of the mean displacement; seconds.
"""

from __future__ import annotations

import json
import os
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from case import channel
from napari_voxreg import Grid, Image, register_cohort, warp
from napari_voxreg.cohort.group import CohortResult
from napari_voxreg.cohort.group.unbiased import sharpness
from napari_voxreg.core.geometry import Array
from napari_voxreg.core.process import MethodUnavailable
from tables import table

KINDS: dict[str, dict[str, Any]] = {
    "first image": {"template": "image"},
    "best image": {"template": "best"},
    "mean of the best": {"template": "mean of the best", "best": 3},
    "group": {"template": "group"},
    "group, elastix": {"template": "group", "deform": "elastix"},
    "all pairs": {"template": "all pairs"},
}


def read(path: Path, ndim: int, grey: bool) -> Image:
    """An image of a cohort in its own geometry."""
    image = sitk.ReadImage(str(path))
    pixels = sitk.GetArrayFromImage(image)
    data = channel(pixels, ndim) if grey else pixels
    spacing, origin = image.GetSpacing()[::-1], image.GetOrigin()[::-1]
    units = "millimeter" if ndim == 3 else "pixel"
    return Image(data, Grid.from_spacing(data.shape, spacing, origin, units=units), path.name)


def opened(folder: Path) -> tuple[list[Image], list[Image] | None, list[Array] | None]:
    """The images of a cohort, and their labels or world landmarks."""
    about = json.loads((folder / "cohort.json").read_text())
    d = about["ndim"]

    def of(kind: str, member: str) -> Path:
        return next(folder.glob(f"{kind}_{member}.*"))

    images = [read(of("image", member), d, True) for member in about["members"]]
    if about["truth"] == "labels":
        return images, [read(of("labels", member), d, False) for member in about["members"]], None
    points = [np.loadtxt(of("landmarks", m), delimiter=",", skiprows=1, ndmin=2) for m in about["members"]]
    return images, None, [image.grid.to_world(p) for image, p in zip(images, points, strict=True)]


def agreement(result: CohortResult, labels: list[Image] | None, points: list[Array] | None) -> float:
    """Mean Dice or mean landmark error over all pairs of images, on the template."""
    grid = result.template.grid
    if points is not None:
        onto = [t.inverse(grid)(p) for t, p in zip(result.transforms, points, strict=True) if t is not None]
        apart = [np.linalg.norm(a - b, axis=1).mean() for a, b in combinations(onto, 2)]
        return float(np.mean(apart))
    assert labels is not None
    warped = [
        warp(image, t, grid, order=0).data
        for image, t in zip(labels, result.transforms, strict=True)
        if t is not None
    ]
    found = []
    for a, b in combinations(warped, 2):
        for label in np.intersect1d(np.unique(a), np.unique(b)):
            if label:
                found.append(
                    2 * np.sum((a == label) & (b == label)) / (np.sum(a == label) + np.sum(b == label))
                )
    return float(np.mean(found))


def main() -> None:
    """Print a table for every cohort."""
    root = Path(os.environ["VOXREG_PAIRS"])
    for name in sys.argv[1:] or sorted(path.parent.name for path in root.glob("*/cohort.json")):
        images, labels, points = opened(root / name)
        rows = []
        for kind, options in KINDS.items():
            try:
                result = register_cohort(images, options=options)
            except (ValueError, MethodUnavailable) as error:
                rows.append([kind, str(error), "", "", "", ""])
                continue
            unusable = sum(not member.usable for member in result.members)
            rows.append(
                [
                    kind,
                    f"{agreement(result, labels, points):.3f}",
                    f"{sharpness(result.mean):.4f}",
                    f"{result.mean_displacement:.3f}",
                    str(unusable),
                    f"{result.seconds:.0f}",
                ]
            )
            print(rows[-1], file=sys.stderr, flush=True)
        measure = "landmark error" if labels is None else "Dice"
        head = ("template", f"{measure}, all pairs", "sharpness", "mean displacement, px", "unusable", "s")
        print(f"{name}, {len(images)} images\n\n{table(head, rows)}\n", flush=True)


if __name__ == "__main__":
    main()
