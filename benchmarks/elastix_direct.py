"""elastix through this package against itk-elastix called directly: the same maps, truth and time.

Run ``python benchmarks/elastix_direct.py OUT.json [PAIR ...]``. Direct runs happen in a child process of
their own, warm as well, alternated with ours. Writes a section of the benchmark page; exits with 1 if a bound
is broken.
"""

from __future__ import annotations

import json
import multiprocessing
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from case import images, pairs_module
from napari_voxreg.core import process
from napari_voxreg.core.geometry import Array, Image
from napari_voxreg.core.progress import silent
from napari_voxreg.images.task import Task
from napari_voxreg.methods.elastix.method import METHOD
from napari_voxreg.methods.elastix.parameter_maps import Map, preset_maps

REPEATS = 5
ACCURACY, OVERHEAD = 1.02, 1.15
HEAD = """\
elastix through this package against itk-elastix called directly, with the same float32 channel and the same
parameter files (those of the preset "affine + B-spline"). Mean landmark error is in world units. Seconds are
the median of {repeats} alternated warm runs, from the images in memory to the transform. Only ratios within
one run can be compared; machines are noisy.

| pair | before | direct | here | s direct | s here | ratio |
|---|---|---|---|---|---|---|"""


def write_file(values: Map, path: Path) -> Path:
    """A parameter map as one of elastix's text files."""
    lines = []
    for name, entries in values.items():
        quoted = [e if e.replace(".", "").replace("-", "").isdigit() else f'"{e}"' for e in entries]
        lines.append(f"({name} {' '.join(quoted)})")
    path.write_text("\n".join(lines) + "\n")
    return path


def direct(connection) -> None:
    """The life of the direct child: (fixed, moving, files, points) in, (moved points, seconds) out."""
    from napari_voxreg.methods.elastix.load import itk

    while (job := connection.recv()) is not None:
        arrays, geometry, files, points = job
        made = []
        for data, (spacing, origin) in zip(arrays, geometry, strict=True):
            image = itk.GetImageFromArray(data)
            image.SetSpacing(spacing)
            image.SetOrigin(origin)
            made.append(image)
        parameters = itk.ParameterObject.New()
        for file in files:
            parameters.AddParameterFile(file)
        start = time.perf_counter()
        kind = type(made[0])
        elastix = itk.ElastixRegistrationMethod[kind, kind].New()
        elastix.SetFixedImage(made[0])
        elastix.SetMovingImage(made[1])
        elastix.SetParameterObject(parameters)
        elastix.LogToConsoleOff()
        elastix.UpdateLargestPossibleRegion()
        seconds = time.perf_counter() - start
        transform = elastix.GetCombinationTransform()
        connection.send(([tuple(transform.TransformPoint(p)) for p in points], seconds))


def run_direct(
    connection, fixed: Image, moving: Image, files: list[Path], points: Array
) -> tuple[Array, float]:
    """Points (N, d) mapped by itk-elastix alone, and its seconds."""
    geometry = [
        (image.grid.spacing[::-1].tolist(), image.grid.origin[::-1].tolist()) for image in (fixed, moving)
    ]
    connection.send(((fixed.data, moving.data), geometry, [str(f) for f in files], points[:, ::-1].tolist()))
    mapped, seconds = connection.recv()
    return np.array(mapped)[:, ::-1], seconds


def run_ours(fixed: Image, moving: Image, files: list[Path], points: Array) -> tuple[Array, float]:
    """Points (N, d) mapped by this package, and its seconds from the images to the transform."""
    params = METHOD.parameters("parameter files", {"parameter_files": tuple(files)})
    start = time.perf_counter()
    outcome = METHOD.run(Task(fixed, moving), params, silent)
    seconds = time.perf_counter() - start
    return outcome.transform(points), seconds


def measure(connection, pair: dict, folder: Path) -> tuple[str, bool, float]:
    """One row of the table, whether the bound of accuracy holds, and the ratio of the times."""
    fixed, moving = images(pair)
    maps = preset_maps(
        METHOD.parameters(), fixed.grid, 0, masked=False, landmarks=False
    )  # the default preset, written to files for both
    files = [write_file(m, folder / f"{pair['name']}.{n}.txt") for n, m in enumerate(maps)]
    where = fixed.grid.to_world(pair["landmarks_fixed"])
    truth = moving.grid.to_world(pair["landmarks_moving"])
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPEATS):
        for k, (mapped, seconds) in enumerate(
            (
                run_direct(connection, fixed, moving, files, where),
                run_ours(fixed, moving, files, where),
            )
        ):
            times[k].append(seconds)
            if k == 0:
                by_direct = mapped
            else:
                by_ours = mapped
    before, alone, ours = (
        float(np.linalg.norm(points - truth, axis=1).mean()) for points in (where, by_direct, by_ours)
    )
    slow = statistics.median(times[1]) / statistics.median(times[0])
    holds = alone >= before or ours <= ACCURACY * alone
    timing = f"{statistics.median(times[0]):.2f} | {statistics.median(times[1]):.2f} | {slow:.2f}"
    row = f"| {pair['name']} | {before:.2f} | {alone:.3f} | {ours:.3f} | {timing} |"
    return row, holds, slow


def main(out: str, names: list[str]) -> int:
    """Measure the named pairs, or all that have landmarks, and write the page's part."""
    module = pairs_module()
    if module is None:
        Path(out).write_text(json.dumps({"failed": "The real pairs are not here: skipped."}))
        return 0
    pairs = [module.load(name) for name in names] if names else list(module.pairs())
    process.warm("napari_voxreg.methods.elastix.load")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=direct, args=(theirs,), daemon=True)
    child.start()
    lines, good, ratios = [HEAD.format(repeats=REPEATS)], True, []
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs:
            if pair["truth"] != "landmarks":
                continue
            row, holds, slow = measure(ours, pair, Path(folder))
            lines.append(row)
            good = good and holds
            ratios.append(slow)
    ours.send(None)
    child.join()
    process.shutdown()
    # Runs of a second scatter by more than the bound from one time to the next; their median does not.
    ratio = statistics.median(ratios)
    good = good and ratio <= OVERHEAD
    lines.append(
        f"\nThe median ratio is {ratio:.2f}. Bounds (every error within {ACCURACY - 1:.0%} of the direct "
        f"one, median ratio at most {OVERHEAD}): {'all hold' if good else 'broken'}."
    )
    Path(out).write_text(json.dumps({"page": "\n".join(lines)}))
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2:]))
