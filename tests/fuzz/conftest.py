"""One small file of each format that is read, and the child process that reads the altered ones."""

import json
import os
import queue
import subprocess
import sys
import threading
from pathlib import Path

import h5py
import imageio.v3 as iio
import nibabel
import numpy as np
import pytest
import SimpleITK as sitk
import torch

from napari_voxreg import Affine, Displacement, Grid, Image, StationaryVelocity, register, save_transform
from napari_voxreg.evaluation.table import _HEAD
from napari_voxreg.io.flo import write_flo
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet, pack
from napari_voxreg.io.points import BIGWARP, PairFile, PointFile, write_point_pairs, write_points
from napari_voxreg.nets.architectures.affine import STN
from napari_voxreg.nets.architectures.voxelmorph import VoxelMorph
from napari_voxreg.nets.checkpoints.checkpoint import save_weights
from napari_voxreg.train.events import Losses, Row
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.runs import write_history, write_options, write_pairs
from napari_voxreg.train.state import Place, save_state
from napari_voxreg.transforms import BSpline, chain

CPU, WALL = (
    10.0,
    90.0,
)  # seconds that reading one file may take, with the machine to itself and at the very most
START = 120.0


class Child:
    """The process of child.py, started again after it died."""

    def __init__(self) -> None:
        self.process = None

    def start(self) -> None:
        self.words = Path(os.devnull).open("wb")  # noqa: SIM115 (as long as the process)
        self.process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("child.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.words,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        )
        self.answers = queue.SimpleQueue()
        threading.Thread(target=self._listen, args=(self.process, self.answers), daemon=True).start()
        assert self._answer(START) == "ready"

    @staticmethod
    def _listen(process, answers):
        for line in process.stdout:
            answers.put(json.loads(line))
        answers.put(None)

    def _answer(self, seconds):
        try:
            return self.answers.get(timeout=seconds)
        except queue.Empty:
            return "late"

    def read(self, kind: str, path: Path) -> tuple[bool, str]:
        """Whether reading a file ended as it should, and how it ended."""
        if self.process is None:
            self.start()
        self.process.stdin.write(json.dumps([kind, str(path)]).encode() + b"\n")
        self.process.stdin.flush()
        answer = self._answer(WALL)
        if answer is None or answer == "late":
            code = self.end()
            return False, f"took more than {WALL:g} s" if answer else f"the process died ({code})"
        how, words, seconds = answer
        if seconds > CPU:
            return False, f"took {seconds:.0f} s; {how}: {words}"
        return how != "raised", f"{how}: {words}"

    def end(self) -> int | None:
        if self.process is None:
            return None
        self.process.kill()
        code = self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.words):
            stream.close()
        self.process = None
        return code


@pytest.fixture(scope="session")
def child():
    child = Child()
    yield child
    child.end()


@pytest.fixture(scope="session")
def samples(tmp_path_factory) -> dict[str, tuple[str, Path]]:
    """Kind of reader and file (or folder) by a short name."""
    folder = tmp_path_factory.mktemp("samples")
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    return {
        **_images(folder, rng),
        **_transforms(folder, rng),
        **_pairs(folder, rng),
        **_networks(folder),
        **_texts(folder, rng),
    }


def _images(folder, rng):
    plane = Image(rng.integers(0, 255, (12, 14), np.uint8), Grid.from_spacing((12, 14)))
    units = Grid.from_spacing((5, 6, 7), (3.0, 0.5, 0.7), units="millimeter")
    volume = Image(rng.integers(0, 999, (5, 6, 7), np.uint16), units)
    found = {}
    for ending in ("png", "jpg", "tif"):
        found[f"plane.{ending}"] = ("image", write_image(plane, folder / f"plane.{ending}"))
    iio.imwrite(folder / "plane.bmp", plane.data)
    found["plane.bmp"] = ("image", folder / "plane.bmp")
    for ending in ("nii", "nii.gz", "nrrd", "mha", "tif"):
        found[f"volume.{ending}"] = ("image", write_image(volume, folder / f"volume.{ending}"))
    nibabel.MGHImage(volume.data.astype("i2"), np.eye(4)).to_filename(folder / "volume.mgz")
    nibabel.MGHImage(volume.data.astype("i2"), np.eye(4)).to_filename(folder / "volume.mgh")
    nibabel.Nifti1Pair(volume.data, np.eye(4)).to_filename(folder / "two.img")
    found |= {name: ("image", folder / name) for name in ("volume.mgz", "volume.mgh", "two.hdr")}
    for name in ("header.mhd", "header.nhdr", "slice.dcm"):
        pixels = sitk.GetImageFromArray(volume.data if name[0] == "h" else volume.data[0])
        sitk.WriteImage(pixels, str(folder / name))
        found[name] = ("image", folder / name)
    return found


def _transforms(folder, rng):
    grid = Grid.from_spacing((8, 9), 0.5, units="millimeter")
    affine = Affine(np.array([[1.1, 0.1, 2.0], [0.0, 0.9, -1.0], [0.0, 0.0, 1.0]]))
    field = Displacement(rng.normal(size=(8, 9, 2)), grid)
    spline = BSpline(rng.normal(size=(2, 8, 9)), grid)
    found = _of_others(folder, affine, field, spline, grid)
    for ending in ("tfm", "mat", "xfm"):
        itk = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3)
        sitk.WriteTransform(itk, str(folder / f"linear.{ending}"))
        found[f"linear.{ending}"] = ("transform", folder / f"linear.{ending}")
    for ending in ("h5", "tfm"):
        itk = chain(affine, field, spline).to_itk(grid)
        sitk.WriteTransform(itk, str(folder / f"chain.{ending}"))
        found[f"chain.{ending}"] = ("transform", folder / f"chain.{ending}")
    for name, one in (("ours", chain(affine, field)), ("flow", StationaryVelocity(field.field, grid))):
        found[f"{name}.h5"] = ("transform", save_transform(one, folder / f"{name}.h5", grid))
        found[f"{name}.json"] = ("transform", folder / f"{name}.json")
    image = Image(rng.normal(size=(16, 18)), Grid.from_spacing((16, 18)), "noise")
    register(image, image, method="translation").save(folder / "result")
    found["result"] = ("result", folder / "result" / "transform.json")
    write_flo(folder / "field.flo", rng.normal(size=(8, 9, 2)))
    np.save(folder / "field.npy", rng.normal(size=(2, 8, 9)))
    sitk.WriteTransform(field.to_itk(), str(folder / "field.h5"))
    return found | {f"field.{e}": ("displacement", folder / f"field.{e}") for e in ("flo", "npy", "h5")}


VOLUME = """valid = 1
volume = 6 5 4
voxelsize = 1 1 2
xras = -1 0 0
yras = 0 0 -1
zras = 0 1 0
cras = 1 2 3
"""
LTA = f"""type = 0
nxforms = 1
mean = 0 0 0
sigma = 1
1 4 4
1 0 0 4
0 1 0 5
0 0 1 6
0 0 0 1
src volume info
{VOLUME}dst volume info
{VOLUME}"""


def _of_others(folder, affine, field, spline, grid):
    """What other programs write."""
    save_transform(spline, folder / "elastix.txt", grid, format="elastix")
    for name, one in (("vectors.nii.gz", field), ("vectors.mha", field)):
        save_transform(one, folder / name, grid)
    save_transform(affine, folder / "matrix.csv", format="matrix")
    save_transform(affine, folder / "flow.flo", grid)
    np.save(folder / "napari.npy", affine.matrix)
    np.savetxt(folder / "flirt.mat", np.eye(4))
    points = np.round(field.field[0, :6], 3).tolist()
    rows = [[f"Pt-{k}", "true", *point, *point] for k, point in enumerate(points)]
    text = "\n".join(",".join(f'"{cell}"' for cell in row) for row in rows)
    (folder / "bigwarp.csv").write_text(text)
    record = {
        "type": "BigWarpLandmarks",
        "movingPoints": points,
        "fixedPoints": points,
        "active": [True] * 6,
        "names": list("abcdef"),
    }
    (folder / "landmarks.json").write_text(json.dumps(record))
    (folder / "align.aff12.1D").write_text("# 3dAllineate matrices\n1 0 0 4 0 1 0 5 0 0 1 6\n")
    (folder / "freesurfer.lta").write_text(LTA)
    names = ["elastix.txt", "vectors.nii.gz", "vectors.mha", "matrix.csv", "flow.flo", "napari.npy"]
    names += ["bigwarp.csv", "landmarks.json", "align.aff12.1D", "freesurfer.lta"]
    return {"flirt.mat": ("flirt", folder / "flirt.mat")} | {n: ("transform", folder / n) for n in names}


def _pairs(folder, rng):
    for name in ("one", "two"):
        iio.imwrite(folder / f"{name}.png", rng.integers(0, 255, (8, 9), np.uint8))
    pair = Pair("a", folder / "one.png", folder / "two.png")
    pack(PairSet((pair,), (pair,)), folder / "pairs.h5")
    (folder / "pairs.csv").write_text("fixed,moving,patient,set\none.png,two.png,p,train\n")
    with h5py.File(folder / "stacks.h5", "w") as file:
        for name in ("fixed", "moving"):
            file.create_dataset(name, data=rng.normal(size=(3, 8, 9)), compression="gzip")
    lists = folder / "lists"
    lists.mkdir()
    for side in ("fixed", "moving"):
        (lists / f"train_{side}.txt").write_text(f"../{'one' if side == 'fixed' else 'two'}.png\n")
    run = folder / "run"
    run.mkdir()
    write_options(run, TrainOptions(architecture="stn"), (16, 16))
    write_history(run, [Row(1, 3, Losses(1.0, 0.5, 0.5), None, 2.0)])
    write_pairs(run, PairSet((pair,), (pair,)), {"a": "0" * 64})
    return {
        **{name: ("pairs", folder / name) for name in ("pairs.h5", "pairs.csv", "stacks.h5")},
        "lists": ("pairs", lists / "train_fixed.txt"),
        **{f"run/{n}": ("run", run / n) for n in ("options.json", "history.csv", "pairs.csv")},
    }


def _networks(folder):
    net = VoxelMorph(ndim=2, encoder=[3], decoder=[3], remaining=[3])
    save_weights(folder / "small.safetensors", net, {})
    names = {"unet.encoder": "unet_model.encoder", "unet.decoder": "unet_model.decoder"}
    theirs = {}
    for key, value in net.state_dict().items():
        layer, _, kind = key.rpartition(".")
        for ours, other in {**names, "unet.remaining": "unet_model.remaining"}.items():
            layer = f"{layer.replace(ours, other)}.main" if layer.startswith(ours) else layer
        theirs[f"{layer}.{kind}"] = value
    torch.save({"config": {"int_steps": 5}, "model_state": theirs}, folder / "theirs.pt")
    with h5py.File(folder / "keras.h5", "w") as file:
        for name in ("vxm_unet_enc_conv_0_0", "vxm_unet_dec_conv_0_0", "vxm_flow"):
            features = 3 if "unet" in name else 2
            shape = (3, 3, 2 if "enc" in name else 6 if "flow" in name else 3, features)
            file.create_dataset(f"{name}/{name}/kernel:0", data=np.zeros(shape, np.float32))
            file.create_dataset(f"{name}/{name}/bias:0", data=np.zeros(features, np.float32))
    one = STN(2)
    save_state(folder / "state.pt", Place(), one, one, torch.optim.Adam(one.parameters()))
    return {
        "small.safetensors": ("checkpoint", folder / "small.safetensors"),
        "small.json": ("checkpoint", folder / "small.json"),
        "theirs.pt": ("checkpoint", folder / "theirs.pt"),
        "keras.h5": ("checkpoint", folder / "keras.h5"),
        "state.pt": ("state", folder / "state.pt"),
    }


def _texts(folder, rng):
    rows = "\n".join(",".join(f"{x:.3f}" for x in row) for row in rng.normal(size=(5, 2)))
    (folder / "points.csv").write_text(f"axis-0,axis-1\n{rows}\n")
    slicer = PointFile(rng.normal(size=(5, 3)), tuple("abcde"), "millimeter")
    points = ("points.fcsv", "points.mrk.json", "points.txt")
    for name in points:
        write_points(slicer, folder / name)
    pairs = PairFile(slicer.points, slicer.points + 1, slicer.labels)
    write_point_pairs(pairs, folder / "bigwarp.csv", BIGWARP)
    (folder / "map.txt").write_text('(Transform "AffineTransform") // it\n(Metric "AdvancedMeanSquares")\n')
    (folder / "map.toml").write_text('Transform = "AffineTransform"\nMetric = ["AdvancedMeanSquares"]\n')
    (folder / "evaluation").mkdir()
    cells = ["a", "rigid", "", "better", "Better.", *["0.5"] * (len(_HEAD) - 8), "", "c", "s"]
    (folder / "evaluation" / "table.csv").write_text(f"{','.join(_HEAD)}\n{','.join(cells)}\n")
    return {
        "points.csv": ("points", folder / "points.csv"),
        **{name: ("points", folder / name) for name in points},
        "bigwarp.csv": ("point_pairs", folder / "bigwarp.csv"),
        "map.txt": ("parameters", folder / "map.txt"),
        "map.toml": ("parameters", folder / "map.toml"),
        "table.csv": ("table", folder / "evaluation" / "table.csv"),
    }
