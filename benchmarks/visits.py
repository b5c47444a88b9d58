"""Visits of two eyes: ``python visits.py [VISITS] [SIDE]``.

The retina of scikit-image and its mirror image, each photographed at half of the visits: turned, zoomed,
moved, deformed by a few pixels, lit otherwise. Three photographs are unusable: a closed lid, no focus,
nothing. For every eye: the template, what was found unusable, and how far landmarks are from where they
belong, in per cent of the diagonal.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from scipy.ndimage import gaussian_filter, zoom
from skimage import data

from napari_voxreg import Grid, Image, register_cohort, warp
from napari_voxreg.cohort.group import CohortResult
from napari_voxreg.core.geometry import Array
from napari_voxreg.io.images import write_image
from napari_voxreg.samples.drawing import known_warp
from napari_voxreg.transforms import Transform
from tables import table

EYES = ("OD", "OS")
UNUSABLE = {("OD", 3): "lid", ("OD", 8): "no focus", ("OS", 5): "nothing"}


def visits(folder: Path, count: int, side: int) -> dict[str, list[tuple[Transform, str]]]:
    """Write ``P01_EYE_DATE.png``; for each eye the way from the retina to each visit, and what is wrong."""
    rng = np.random.default_rng(4)
    photograph = data.retina()[: 1410 // 2 * 2, : 1410 // 2 * 2] / 255
    scale = side / photograph.shape[0]
    photograph = zoom(gaussian_filter(photograph, (0.4 / scale, 0.4 / scale, 0)), (scale, scale, 1), order=1)
    grid = Grid.from_spacing(photograph.shape[:2])
    found: dict[str, list[tuple[Transform, str]]] = {}
    for eye in EYES:
        scene = photograph if eye == "OD" else photograph[:, ::-1]
        found[eye] = []
        for k in range(count // 2):
            way = known_warp(
                grid,
                rng,
                rotation=rng.uniform(-8, 8),
                zoom=rng.uniform(0.95, 1.05),
                translation=tuple(rng.uniform(-0.05, 0.05, 2) * side),
                wobble=0.004 * side,
                length=0.16 * side,
            )
            problem = UNUSABLE.get((eye, k), "")
            pixels = warp(Image(scene, grid), way.inverse(grid), grid).data
            pixels = _photographed(np.asarray(pixels), problem, rng)
            write_image(Image(pixels, grid), folder / f"P01_{eye}_{2001 + k}-05-01.png")
            found[eye].append((way, problem))
    return found


def _photographed(pixels: Array, problem: str, rng: np.random.Generator) -> Array:
    """Another flash, vignette, gamma and noise, as bytes; or what a failed photograph shows."""
    side = len(pixels)
    rows, columns = (np.indices(pixels.shape[:2]) - side / 2) / side
    if problem == "nothing":
        pixels = np.zeros_like(pixels)
    if problem == "no focus":
        pixels = gaussian_filter(pixels, (0.03 * side, 0.03 * side, 0))
    if problem == "lid":
        lid = gaussian_filter(rng.standard_normal(pixels.shape[:2]), 0.01 * side)
        pixels = np.stack([0.6 - 0.3 * rows + 2 * lid, 0.4 + 2 * lid, 0.3 + 2 * lid], axis=-1)
    light = 1 + rng.uniform(-0.2, 0.2) + rng.uniform(-0.3, 0.3) * rows + rng.uniform(-0.3, 0.3) * columns
    lit = np.clip(pixels * light[..., None], 0, 1) ** rng.uniform(0.85, 1.15)
    return np.clip(255 * (lit + 0.01 * rng.standard_normal(lit.shape)), 0, 255).astype(np.uint8)


def errors(result: CohortResult, ways: list[Transform], grid: Grid) -> list[float]:
    """For each image: how far landmarks are from where they belong, mean, in per cent of the diagonal."""
    retina = grid.coarsened(max(1, grid.shape[0] // 12)).nodes()
    inner = np.abs(retina - grid.centre).max(axis=1) < 0.3 * grid.shape[0]
    retina = retina[inner]
    numbers = [k for k, t in enumerate(result.transforms) if t is not None]
    # Where the template shows the landmarks is not known for a mean: by the image that lies nearest to it.
    nearest = min(
        numbers, key=lambda k: float(np.abs(result.transforms[k](grid.corners()) - grid.corners()).max())
    )
    on_template = result.transforms[nearest].inverse(grid)(ways[nearest](retina))
    found = [np.nan] * len(ways)
    for k in numbers:
        apart = np.linalg.norm(result.transforms[k](on_template) - ways[k](retina), axis=1)
        found[k] = float(100 * apart.mean() / grid.diagonal)
    return found


def main() -> None:
    """Print a row for each eye."""
    count, side = (int(word) for word in (*sys.argv[1:], "40", "400")[:2])
    rows = []
    with tempfile.TemporaryDirectory() as name:
        truth = visits(Path(name), count, side)
        for eye, known in truth.items():
            pattern = rf"(?P<id>P\d+)_(?P<laterality>{eye})_(?P<date>[\d-]+)"
            result = register_cohort(name, options={"template": "best", "deform": "none"}, pattern=pattern)
            wrong = errors(result, [way for way, _ in known], result.template.grid)
            expected = [k for k, (_, problem) in enumerate(known) if problem]
            said = [k for k, member in enumerate(result.members) if member.problem]
            usable = [wrong[k] for k in range(len(known)) if k not in expected]
            within = sum(error < 1 for error in usable)
            rows.append(
                [
                    eye,
                    result.template.name,
                    ", ".join(map(str, said)),
                    ", ".join(map(str, expected)),
                    f"{within} of {len(usable)}",
                    f"{np.nanmax(usable):.2f}",
                    f"{result.seconds:.0f}",
                ]
            )
    head = ("eye", "template", "unusable, found", "unusable", "within 1 %", "worst, %", "s")
    print(table(head, rows))


if __name__ == "__main__":
    main()
