"""A process that reads files for the fuzz tests, so that a crash, a hang or gigabytes end only this process.

Each line on its standard input is a JSON list, the kind of reader and a path; each line that it answers is
``[outcome, words, CPU seconds]`` where the outcome is "read", "refused" or "raised".
"""

import faulthandler
import importlib
import json
import os
import sys
import time
import traceback
import warnings
from pathlib import Path

import numpy as np

MEMORY = 2 * 2**30  # bytes that reading one file may take
NAMED = (
    *("image", "transform", "flirt", "checkpoint", "points", "point_pairs"),
    *("parameters", "state", "run", "table", "displacement"),
)


def image(path):
    from napari_voxreg.io.images import read_image

    found = read_image(path)
    assert found.data.shape[: found.ndim] == found.grid.shape and np.isfinite(found.grid.affine).all()


def transform(path):
    from napari_voxreg.io.transforms import fixed_grid, load_record, load_transform

    found = load_transform(path)
    assert np.shape(found(np.zeros((3, found.ndim)))) == (3, found.ndim)
    record = load_record(path)
    if record is not None:
        fixed_grid(record).in_units(("mm",) * found.ndim)


def flirt(path):
    from napari_voxreg import Grid
    from napari_voxreg.io.transforms import load_transform

    volume = Grid.from_spacing((4, 5, 6), units="millimeter")
    assert load_transform(path, volume, volume, format="fsl").ndim == 3


def result(path):
    from napari_voxreg.registration.result import load_result

    load_result(path)


def pairs(path):
    from napari_voxreg.io.pairs import content_hash, open_pairs, read_pair

    first = open_pairs(path).all[0]
    read_pair(first)
    assert len(content_hash(first)) == 64


def points(path):
    from napari_voxreg.io.points import read_points

    assert read_points(path).ndim == 2


def point_pairs(path):
    from napari_voxreg.io.points import read_point_pairs

    found = read_point_pairs(path)
    assert found.fixed.shape == found.moving.shape and np.isfinite(found.fixed).all()


def checkpoint(path):
    from napari_voxreg.nets.checkpoints.checkpoint import open_checkpoint

    assert open_checkpoint(path).description


def state(path):
    from napari_voxreg.train.options import TrainOptions
    from napari_voxreg.train.pairs.networks import same_network
    from napari_voxreg.train.runs import damaged
    from napari_voxreg.train.state import place_from, read_state

    values = read_state(path)
    with damaged(path):
        same_network(TrainOptions(architecture="stn"), values)
    assert place_from(values).epoch == values["epoch"]


def run(path):
    from napari_voxreg.train.runs import read_pairs, read_run

    read_run(path)
    read_pairs(path)


def parameters(path):
    from napari_voxreg.methods.elastix.parameter_maps import read_map

    assert read_map(path, 2)


def table(path):
    from napari_voxreg.evaluation.table import Table

    Table(path)


def displacement(path):
    from napari_voxreg import Grid, Image
    from napari_voxreg.io.pairs.reading import read_displacement

    plane = Image(np.zeros((8, 9)), Grid.from_spacing((8, 9)), "plane")
    assert read_displacement(path, plane, plane).shape == (2, 8, 9)


def unit(path):
    from napari_voxreg.core.geometry import unit_factor

    assert unit_factor(path.read_bytes().decode("utf-8", "surrogatepass"), "millimeter") > 0


READERS = (
    *(image, transform, flirt, result, pairs, points, point_pairs, checkpoint, state, run),
    *(parameters, table, displacement, unit),
)


def outcome(kind, path):
    """What reading a file comes to, and in which words."""
    try:
        globals()[kind](path)
    except ValueError as error:
        said = str(error)
        named = [path.stem, *(file.name for file in path.parent.glob(f"{path.name}/*"))]
        named = kind not in NAMED or any(name in said for name in named)
        if named and said and "\n" not in said and len(said) < 1000:
            return "refused", said
        return "raised", f"no sentence with the file's name: {said[:500]!r}"
    except BaseException:  # noqa: BLE001 (that is what is looked for)
        return "raised", traceback.format_exc()[-1500:]
    return "read", ""


def main():
    """Answer requests until the pipe is closed."""
    faulthandler.enable()
    warnings.simplefilter("ignore")
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # libraries print
    for module in ("h5py", "SimpleITK", "torch", "napari_voxreg.train.pairs.networks"):
        importlib.import_module(module)
    try:
        import resource
    except ImportError:  # there is none on Windows
        pass
    else:
        present = 1024 * int(Path("/proc/self/status").read_text().split("VmSize:")[1].split()[0])
        resource.setrlimit(resource.RLIMIT_AS, (present + MEMORY, -1))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    print(json.dumps("ready"), file=answers)
    for line in sys.stdin:
        kind, path = json.loads(line)
        began = time.process_time()
        print(json.dumps([*outcome(kind, Path(path)), time.process_time() - began]), file=answers)


if __name__ == "__main__":
    main()
