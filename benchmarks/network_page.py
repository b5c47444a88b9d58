"""How the networks' measurements read on the page, and which weights there are to measure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_voxreg.methods.networks.affinenet import AffineNetParams
from tables import NONE, Results, table

WEIGHTS = Path(__file__).resolve().parents[1] / "src" / "napari_voxreg" / "weights"
OPTIMISER = "optimiser"
SHAPES = {2: (128, 128), 3: (64, 64, 64)}  # of the synthetic pairs
WHOLE = {2: (512, 512), 3: (160, 192, 224)}  # of the images whose seconds count
PASSES = 7  # of an affine network
NEAR = 3.0  # % of the diagonal: an affine map closer than that is a success
# Networks without weights, for what does not depend on them: architecture and arguments.
UNTRAINED: dict[str, tuple[str, dict[str, Any]]] = {
    "untrained voxelmorph 2d": ("voxelmorph", {"ndim": 2}),
    "untrained voxelmorph 2d, half": ("voxelmorph", {"ndim": 2, "half": True}),
    "untrained voxelmorph 3d": ("voxelmorph", {"ndim": 3}),
    "untrained voxelmorph 3d, half": ("voxelmorph", {"ndim": 3, "half": True}),
    "untrained avsm 2d": ("avsm", {"ndim": 2}),
    "untrained avsm 3d": ("avsm", {"ndim": 3}),
    "untrained jsm 2d, quarter": ("jsm", {"width": 0.25}),
}
NOT_MEASURED = "Not measured."
GPU = "speed-gpu"  # the case of what is timed on a GPU


@dataclass(frozen=True)
class Weights:
    """A file of weights as its card describes it."""

    name: str
    path: Path
    architecture: str
    ndim: int

    @property
    def affine(self) -> bool:
        """Whether it predicts an affine map only."""
        return self.architecture in AffineNetParams.architectures


def shipped() -> list[Weights]:
    """All weights in the package."""
    found = []
    for path in sorted(WEIGHTS.glob("*.safetensors")):
        card = json.loads(path.with_suffix(".json").read_text())
        # An architecture that takes no number of axes is 2D.
        ndim = card["arguments"].get("ndim", 2)
        found.append(Weights(path.stem, path, card["architecture"], ndim))
    return found


def page(results: Results) -> str:
    """All parts."""
    good = {key: cell for key, cell in results.items() if "failed" not in cell}
    failed = [
        f"`{method}` on {case}: {cell['failed']}"
        for (case, method), cell in results.items()
        if "failed" in cell
    ]
    parts = [
        "The weights in the package, each on its own: one pass through the network and, where stated, the "
        "optimiser after it. The methods that use them, which reject what does not improve the match, are "
        "in the tables above.",
        *_unseen(good, 2),
        *_unseen(good, 3),
        *_objects(good),
        *_far(good),
        *_heads(good),
        *_speed(good),
        *_vsvf(good),
    ]
    if failed:
        parts.append(f"Failed: {'; '.join(failed)}")
    return "\n\n".join(parts)


def _of(results: Results, case: str) -> dict[str, Mapping[str, Any]]:
    """Cells of a case by method."""
    return {method: cell for (of, method), cell in results.items() if of == case}


def _sides(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def _unseen(results: Results, ndim: int) -> list[str]:
    cells = _of(results, f"unseen-{ndim}d")
    alone = cells.pop(OPTIMISER, None)
    title = f"### Unseen synthetic pairs, {ndim}D"
    if not cells or alone is None:
        return [title, NOT_MEASURED]
    before = next(iter(alone["rungs"].values()))["before"]
    strange = [name for name, cell in cells.items() if cell["pass"]["before"] != before]
    if strange:
        return [
            title,
            f"Measured on other pairs than the optimiser: {', '.join(strange)}; measure all again.",
        ]
    words = (
        f"{alone['count']} pairs of {_sides(SHAPES[ndim])} pixels, made as for training but with a seed that "
        "was never used for it; in seven of ten the images differ in contrast. Mean distance from the true "
        "map over textured pixels, in pixels; median seconds per pair, on the CPU. The last column is the "
        "time that the optimiser (`diffeo` on self-similarity, MIND-SSC) needs to reach the error of one "
        "pass."
    )
    rows = []
    for name, cell in cells.items():
        one = cell["pass"]
        rows.append(
            [
                name,
                f"{one['before']:.2f} -> {one['after']:.2f}",
                f"{100 * (one['after'] / one['before'] - 1):+.0f} %",
                f"{one['folds']:.2g}",
                f"{one['worse']} of {cell['count']}",
                f"{one['seconds']:.3f}",
                _as_good(alone["rungs"], one["after"]),
            ]
        )
    head = ("weights", "error", "change", "folding %", "made worse", "s", "s, optimiser")
    return [title, words, table(head, rows), *_ladder(alone, cells)]


def _as_good(rungs: Mapping[str, Any], error: float) -> str:
    """The shortest time in which the optimiser alone gets as far."""
    times = [rung["seconds"] for rung in rungs.values() if rung["after"] <= error]
    return f"{min(times):.3f}" if times else "not reached"


def _ladder(alone: Mapping[str, Any], cells: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """The optimiser with growing effort, alone and after each network; and both at equal time."""
    words = (
        "The optimiser alone and after one pass (whose time is included), from a few coarse steps to more "
        "than its defaults: pixels and seconds. A level stops by itself when nothing improves."
    )
    both = {"alone": alone, **{f"after {name}": cell for name, cell in cells.items()}}
    rows = [
        [name, *(_pixels_seconds(cell["rungs"][name]) for cell in both.values())] for name in alone["rungs"]
    ]
    return [words, table(["optimiser", *both], rows), *(_equal_time(alone, *item) for item in cells.items())]


def _pixels_seconds(rung: Mapping[str, float]) -> str:
    return f"{rung['after']:.2f} in {rung['seconds']:.2f}"


def _equal_time(alone: Mapping[str, Any], name: str, cell: Mapping[str, Any]) -> str:
    """At the time of each rung after the network, the best that the optimiser alone has reached by then."""
    better, judged, pairs = 0, 0, []
    for rung in cell["rungs"].values():
        within = [r["after"] for r in alone["rungs"].values() if r["seconds"] <= rung["seconds"]]
        if within:
            judged += 1
            better += rung["after"] < min(within)
            pairs.append((rung["after"], min(within), rung["seconds"]))
    if not judged:
        return f"`{name}` and the optimiser: no time in common with the optimiser alone."
    after, best, seconds = min(pairs)
    return (
        f"At equal time, `{name}` and the optimiser are better than the optimiser alone at {better} of "
        f"{judged} times. Lowest error: {after:.2f} against {best:.2f} pixels in {seconds:.2f} s."
    )


def _objects(results: Results) -> list[str]:
    title = "### Structures in only one image"
    rows = []
    for name, cell in _of(results, "objects").items():
        row = [name]
        for without, present in (cell["once"], cell["method"]):
            row += [f"{without:.2f}", f"{present:.2f}", f"{100 * (present / without - 1):+.1f} %"]
        rows.append(row)
    if not rows:
        return [title, NOT_MEASURED]
    words = (
        "The same 2D pairs with an ellipse over a tenth of the image, in the fixed or in the moving image "
        "only. The error, in pixels, is over textured pixels outside the ellipse, with and without it. First "
        "for one pass of the network alone; then as in the methods, after a pass of the affine network and "
        "from coarse to fine."
    )
    columns = ("without", "with", "change")
    head = ("weights", *(f"one pass, {column}" for column in columns), *columns)
    return [title, words, table(head, rows)]


def _far(results: Results) -> list[str]:
    title = "### Affine networks"
    rows = []
    for ndim in (2, 3):
        for name, cell in _of(results, f"far-{ndim}d").items():
            errors = cell["errors"]
            near = [f"{sum(e < NEAR for e in found)} of {len(found)}" for found in errors.values()]
            rows.append([name, *near, f"{max(errors[str(PASSES)]):.1f}", f"{cell['seconds']:.3f}"])
    if not rows:
        return [title, NOT_MEASURED]
    words = (
        f"Unseen synthetic pairs of {_sides(SHAPES[2])} and {_sides(SHAPES[3])} pixels, rotated by up to 30 "
        "degrees, scaled by 0.8 to 1.25, translated by up to a fifth of the side along each axis, sheared "
        "and slightly deformed. How many are within "
        f"{NEAR:g} % of the diagonal of the true map, as the mean over the whole image, before and after "
        "each number of passes; and the largest distance after the last pass."
    )
    head = ("weights", "before", "1 pass", "3 passes", f"{PASSES} passes", "worst, %", "s")
    return [title, words, table(head, rows)]


def _heads(results: Results) -> list[str]:
    title = "### Brains in one pass"
    rows = []
    for case in ("head-people", "head-warped"):
        for name, cell in _of(results, case).items():
            before, after = cell["before"], cell["after"]
            error = f"{before['error']:.2f} -> {after['error']:.2f}" if "error" in after else NONE
            rows.append(
                [
                    case,
                    name,
                    f"{before['dice']:.3f} -> {after['dice']:.3f}",
                    error,
                    f"{cell['folds']:.2g}",
                    f"{cell['seconds']:.1f}",
                    f"{cell['peak']:.0f}",
                ]
            )
    if not rows:
        return [title, NOT_MEASURED]
    words = "The pairs of the section *Brains*, 160x192x224, for comparison with the methods there."
    head = ("pair", "weights", "Dice", "error, voxels", "folding %", "s", "MB")
    return [title, words, table(head, rows)]


def _speed(results: Results) -> list[str]:
    title = "### Seconds"
    rows = [
        [
            name,
            cell["device"],
            f"{cell['opening']:.2f}",
            f"{cell['first']:.2f}",
            f"{cell['later']:.3f}",
            f"{cell['noise']:.3f}",
            f"{cell['peak']:.0f}",
            " ".join(cell["notes"]) or NONE,
        ]
        for case in ("speed", GPU)
        for name, cell in _of(results, case).items()
    ]
    if not rows:
        return [title, NOT_MEASURED]
    words = (
        f"One pass over {_sides(WHOLE[2])} or {_sides(WHOLE[3])} pixels, from two images in memory to the "
        "transform, including the pass of the affine network where the method has one (affine networks "
        f"themselves: {PASSES} passes). One pair is an unseen synthetic one. The other is two images of "
        "noise, which have nothing in common, so that the affine network tries all its rotations. Opening "
        "reads the weights; torch is loaded already. Untrained networks are as fast as trained ones. Memory "
        "is that of the process."
    )
    times = ("opening, s", "first pass, s", "later, s", "over noise, s")
    head = ("network", "device", *times, "MB", "notes")
    return [title, words, table(head, rows)]


def _vsvf(results: Results) -> list[str]:
    title = "### Folding and inverse of the vSVF"
    rows = [
        [
            name,
            case.removeprefix("vsvf-"),
            f"{cell['length']:.2f}",
            f"{cell['folds']:.2g}",
            f"{cell['mean']:.3f}",
            f"{cell['most']:.3f}",
            f"{cell['worst']:.3f}",
        ]
        for case in ("vsvf-2d", "vsvf-3d")
        for name, cell in _of(results, case).items()
    ]
    if not rows:
        return [title, NOT_MEASURED]
    words = (
        "The map of AVSM (affine part and vSVF) on unseen pairs, followed by its inverse: distance from the "
        "starting point, in pixels, where the map stays inside the image. An untrained network's momentum "
        "is scaled to a velocity of 6 pixels at most."
    )
    head = ("network", "images", "mean motion", "folding %", "mean", "99th percentile", "worst")
    return [title, words, table(head, rows)]
