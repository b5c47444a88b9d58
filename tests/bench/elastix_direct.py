"""elastix through this package against itk-elastix called directly: the same maps, truth and time.

Run ``python tests/bench/elastix_direct.py [PAIR ...]``. The real pairs are looked for in ``../shared/data``,
beside the repository, or in the folder named by ``VOXREG_PAIRS``. Direct runs happen in a child process of
their own, warm as well, alternated with ours. Prints a page of Markdown (``make bench`` keeps it as
docs/benchmarks.md); exits with 1 if a bound is broken.
"""

from __future__ import annotations

import importlib.util
import multiprocessing
import os
import platform
import statistics
import sys
import tempfile
import time
from pathlib import Path
from types import ModuleType

import numpy as np

from napari_voxreg import isolate
from napari_voxreg.geometry import Array, Grid, Image
from napari_voxreg.method import silent
from napari_voxreg.methods.elastix import METHOD
from napari_voxreg.methods.elastix_maps import Map, preset_maps

REPEATS = 5
ACCURACY, OVERHEAD = 1.02, 1.15
HEAD = """\
# Benchmarks

Written by `make bench` (tests/bench/elastix_direct.py) on {machine}.

elastix through this package against itk-elastix called directly, with the same float32 channel and the same
parameter files (those of the preset "affine + B-spline"): mean landmark error in world units, and the median
of {repeats} alternated warm runs in seconds, from the images in memory to the transform. Only ratios of one
run can be compared; machines are noisy.

| pair | before | direct | here | s direct | s here | ratio |
|---|---|---|---|---|---|---|"""


def pairs_module() -> ModuleType | None:
    """The reader of the real pairs, or None where they are missing."""
    folder = os.environ.get("VOXREG_PAIRS") or Path(__file__).resolve().parents[3] / "shared" / "data"
    path = Path(folder) / "pairs.py"
    if not path.exists():
        return None
    spec = importlib.util.spec_from_file_location("pairs", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def machine() -> str:
    """What this machine is, in words."""
    name = platform.processor() or platform.machine()
    cpus = Path("/proc/cpuinfo")
    if cpus.exists():
        models = (line.split(":", 1)[1] for line in cpus.read_text().splitlines() if "model name" in line)
        name = next(models, name).strip()
    return f"{os.cpu_count()} cores of {name}, {platform.system()}, Python {platform.python_version()}"


def channel(pixels: Array, ndim: int) -> Array:
    """One float32 channel; colours become their mean."""
    return (pixels.mean(axis=-1) if pixels.ndim > ndim else pixels).astype(np.float32)


def images(pair: dict) -> tuple[Image, Image]:
    """Fixed and moving, with the geometry of the pair."""
    fixed, moving = (
        Image(
            data := channel(pair[which], pair["ndim"]),
            Grid.from_spacing(data.shape, pair[f"spacing_{which}"], pair[f"origin_{which}"]),
        )
        for which in ("fixed", "moving")
    )
    return fixed, moving


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
    from napari_voxreg.methods.elastix_load import itk

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
    outcome = METHOD.run(
        fixed,
        moving,
        params,
        initial=None,
        fixed_mask=None,
        moving_mask=None,
        points=None,
        seed=0,
        device="cpu",
        progress=silent,
    )
    seconds = time.perf_counter() - start
    return outcome.transform(points), seconds


def measure(connection, pair: dict, folder: Path) -> tuple[str, bool, float]:
    """One row of the table, whether the bound of accuracy holds, and the ratio of the times."""
    fixed, moving = images(pair)
    maps = preset_maps(
        METHOD.parameters(), fixed.grid, 0, masked=False, points=False, bending=True
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


def main(names: list[str]) -> int:
    """Measure the named pairs, or all that have landmarks."""
    module = pairs_module()
    if module is None:
        print("The real pairs are not here: skipped (name their folder in VOXREG_PAIRS).")
        return 0
    pairs = [module.load(name) for name in names] if names else list(module.pairs())
    isolate.warm("napari_voxreg.methods.elastix_load")
    ours, theirs = multiprocessing.get_context("spawn").Pipe()
    child = multiprocessing.get_context("spawn").Process(target=direct, args=(theirs,), daemon=True)
    child.start()
    print(HEAD.format(machine=machine(), repeats=REPEATS))
    good, ratios = True, []
    with tempfile.TemporaryDirectory() as folder:
        for pair in pairs:
            if pair["truth"] != "landmarks":
                continue
            row, holds, slow = measure(ours, pair, Path(folder))
            print(row, flush=True)
            good = good and holds
            ratios.append(slow)
    ours.send(None)
    child.join()
    isolate.shutdown()
    # Runs of a second scatter by more than the bound from one time to the next; their median does not.
    ratio = statistics.median(ratios)
    good = good and ratio <= OVERHEAD
    print(
        f"\nThe median ratio is {ratio:.2f}. Bounds (every error within {ACCURACY - 1:.0%} of the direct "
        f"one, median ratio at most {OVERHEAD}): {'all hold' if good else 'broken'}."
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
