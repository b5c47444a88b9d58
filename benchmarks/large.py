"""Seconds and peak memory of images larger than memory against their size.

    .venv/bin/python benchmarks/large.py 1024 2048 4096 8192   # pixels along a side; more take longer
    .venv/bin/python benchmarks/large.py --plot                # docs/images/large.svg of what was measured

Each RGB image is made as it is read, so that no disk is needed for it. It is deformed smoothly, registered
with `auto` and warped into OME-Zarr, which is removed again. Every size is measured in a process of its own;
the peak is its largest resident size, and that of its children. The error is the distance from the true
deformation, in pixels of full resolution.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask.array as da
import matplotlib.pyplot as plt
import numpy as np
import psutil
from scipy.ndimage import map_coordinates

from napari_voxreg import BSpline, Grid, Image, apply_large, open_large, register_large, warp_lazily
from napari_voxreg.core.geometry import Array
from tables import table

PLOT = Path(__file__).parents[1] / "docs" / "images" / "large.svg"
KEPT = Path(__file__).parents[1] / "build" / "bench" / "large.json"
PIECE = 512  # pixels
CELLS = 12  # control points of the deformation along a side
MOST = 0.01  # of a side, that they are displaced by (standard deviation)
OCTAVES = (3, 12, 48, 190)  # pixels of the structures


def scene(side: int) -> da.Array:
    """Colours with structure of every size, each piece made when it is read."""
    rng = np.random.default_rng(0)
    noise = [rng.standard_normal((256, 256)).astype(np.float32) for _ in OCTAVES]

    def piece(block_info: Any) -> Array:
        (top, bottom), (left, right), _ = block_info[None]["array-location"]
        found = np.zeros((bottom - top, right - left), np.float32)
        for values, size in zip(noise, OCTAVES, strict=True):
            # Periods that have no common multiple below the size of the image.
            rows, columns = np.arange(top, bottom) / size, np.arange(left, right) / size
            skew = 0.37 * rows[:, None] + 0.0 * columns
            at = np.stack([rows[:, None] + 0.0 * columns, columns + skew])
            found += map_coordinates(values, at, order=1, mode="grid-wrap")
        grey = np.clip(128 + 35 * found, 0, 255)
        return np.stack([grey, 255 - grey / 2, 40 + 0.8 * grey], axis=-1).astype(np.uint8)

    pieces = tuple(min(PIECE, side - start) for start in range(0, side, PIECE))
    empty = np.empty((0, 0, 0), np.uint8)
    return da.map_blocks(piece, chunks=(pieces, pieces, (3,)), dtype=np.uint8, meta=empty)


def deformation(side: int) -> BSpline:
    """A smooth deformation of the whole image."""
    step = side / (CELLS - 4)
    grid = Grid.from_spacing((CELLS, CELLS), step, -2 * step)
    return BSpline(np.random.default_rng(1).normal(0, MOST * side, (2, CELLS, CELLS)), grid)


@contextmanager
def peak() -> Any:
    """The largest resident size of this process and its children meanwhile, bytes, in a list."""
    process, largest, stop = psutil.Process(), [0, 0], threading.Event()

    def watch() -> None:
        while not stop.wait(0.05):
            largest[0] = max(largest[0], process.memory_info().rss)
            children = 0
            for child in process.children(recursive=True):
                try:
                    children += child.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
            largest[1] = max(largest[1], children)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    yield largest
    stop.set()
    thread.join()


def measure(side: int, refine: int | None) -> dict[str, Any]:
    """Register and warp an image of a size."""
    grid, truth = Grid.from_spacing((side, side)), deformation(side)
    moving = open_large(Image(scene(side), grid, "moving"))
    fixed = warp_lazily(truth, moving, fixed=grid, background=128.0)
    with tempfile.TemporaryDirectory(dir=KEPT.parent) as folder, peak() as largest:
        began = time.perf_counter()
        result = register_large(fixed, moving, refine=refine)
        registered = time.perf_counter() - began
        began = time.perf_counter()
        apply_large(result, moving, Path(folder) / "warped.ome.zarr", fixed=grid)
        warped = time.perf_counter() - began
    points = grid.coarsened(max(1, side // 200)).nodes()
    there = truth(points)
    inside = grid.contains(there)
    errors = np.linalg.norm(result.transform(points) - there, axis=1)[inside]
    before = np.linalg.norm(points - there, axis=1)[inside]
    return {
        "registered": registered,
        "warped": warped,
        "memory": largest[0],
        "children": largest[1],
        "before": float(np.median(before)),
        "median": float(np.median(errors)),
        "95 %": float(np.percentile(errors, 95)),
        "notes": list(result.notes),
    }


def page(found: dict[str, Any]) -> str:
    """All that was measured, as a table."""
    seconds, memory = ("register, s", "warp, s"), ("peak, GB", "children, GB")
    head = ("side, pixels", *seconds, *memory, "before, px", "median, px", "95 %, px")
    rows = [
        (
            side,
            *(f"{one[key]:.0f}" for key in ("registered", "warped")),
            *(f"{one[key] / 1e9:.2f}" for key in ("memory", "children")),
            *(f"{one[key]:.2f}" for key in ("before", "median", "95 %")),
        )
        for side, one in sorted(found.items(), key=lambda item: int(item[0]))
    ]
    return table(head, rows)


def plot(found: dict[str, Any]) -> None:
    """Time and memory against the number of pixels."""
    sides = sorted(map(int, found))
    pixels = [side**2 / 1e6 for side in sides]
    figure, axes = plt.subplots(1, 2, figsize=(8, 3), layout="constrained")
    for key, label in (("registered", "register"), ("warped", "warp into OME-Zarr")):
        axes[0].plot(pixels, [found[str(side)][key] for side in sides], "o-", label=label)
    axes[0].set(xscale="log", yscale="log", xlabel="megapixels (RGB)", ylabel="seconds")
    axes[0].legend(frameon=False)
    own = [found[str(side)]["memory"] / 1e9 for side in sides]
    both = [(found[str(side)]["memory"] + found[str(side)]["children"]) / 1e9 for side in sides]
    axes[1].plot(pixels, both, "o--", color="C2", label="and its child, which registers")
    axes[1].plot(pixels, own, "o-", color="C2", label="process")
    axes[1].legend(frameon=False, loc="lower right")
    axes[1].axhline(1.5, color="grey", linestyle=":", linewidth=1)
    axes[1].set(xscale="log", ylim=(0, 1.8), xlabel="megapixels (RGB)", ylabel="peak memory, GB")
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
        one.set_xticks(pixels, [f"{p:.0f}\n{side:,}²" for p, side in zip(pixels, sides, strict=True)])
        one.minorticks_off()
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="large.py", description=__doc__)
    parser.add_argument("sides", type=int, nargs="*", help="pixels along a side")
    parser.add_argument("--refine", type=int, help="the finest level that is refined")
    parser.add_argument("--plot", action="store_true", help="write the plot of what was measured")
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    KEPT.parent.mkdir(parents=True, exist_ok=True)
    if chosen.one:
        print(json.dumps(measure(chosen.one, chosen.refine)))
        return
    found = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    for side in chosen.sides:
        again = [sys.executable, __file__, "--one", str(side)]
        again += [] if chosen.refine is None else ["--refine", str(chosen.refine)]
        run = subprocess.run(again, stdout=subprocess.PIPE, text=True, check=True)
        found[str(side)] = json.loads(run.stdout.splitlines()[-1])
        KEPT.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        print(side, found[str(side)], flush=True)
    print(page(found))
    if chosen.plot:
        plot(found)


if __name__ == "__main__":
    main()
