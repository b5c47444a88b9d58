"""Motion of movies against pystackreg, PyCorre and scikit-image: ``python series.py [FRAMES] [SIDE]``.

Known jitter, drift and rotation of generated scenes: root mean square error of the corners, drift that is
left over the series, seconds and peak memory; each contestant in a process of its own, one after the other.
PyCorre is NoRMCorre in PyTorch, piecewise rigid; suite2p and CaImAn bring hundreds of packages.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.ndimage import affine_transform, gaussian_filter, spline_filter

from napari_voxreg import Grid, register_series
from napari_voxreg.core.geometry import Array
from tables import table

MARGIN = 40
KINDS = {
    "textured": {"noise": 0.3, "degrees": 0.0},
    "dim": {"noise": 2.0, "degrees": 0.0},
    "rotating": {"noise": 0.3, "degrees": 0.5},
}
CONTESTANTS = ("none", "register_series, mean", "register_series, frame", "register_series, previous")
PEERS = ("pystackreg, first", "pystackreg, previous", "PyCorre, piecewise", "scikit-image")
FARTHEST = 40  # pixels that PyCorre may move a frame: more than jitter and drift


def movie(kind: str, count: int, side: int) -> tuple[Array, list[Array]]:
    """16-bit frames and the matrix of each: jitter of 2 pixels, drift of 20, cells that light up and fade."""
    rng = np.random.default_rng(0)
    chosen = KINDS[kind]
    scene = gaussian_filter(rng.standard_normal((side + 2 * MARGIN,) * 2), 4).astype(np.float32)
    scene += 0.5 * gaussian_filter(rng.standard_normal(scene.shape), 1.5)
    scene /= scene.std()
    cells = gaussian_filter(rng.random(scene.shape) ** 400, 3)
    cells /= cells.max()
    scene, cells = spline_filter(scene), spline_filter(cells)
    centre = np.full(2, (side - 1) / 2)
    frames, matrices = np.empty((count, side, side), np.uint16), []
    for k in range(count):
        angle = np.radians(chosen["degrees"]) * rng.standard_normal()
        moved = np.eye(3)
        moved[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        way = 2 * rng.standard_normal(2) + np.array([16, -12]) * k / count
        moved[:2, 2] = centre + way - moved[:2, :2] @ centre
        back = np.linalg.inv(moved)
        shown = scene + 4 * cells * max(0.0, np.sin(k / 9))
        image = affine_transform(
            shown, back[:2, :2], back[:2, 2] + MARGIN, output_shape=(side, side), order=3, prefilter=False
        )
        frames[k] = np.clip(
            1000 + 150 * (image + chosen["noise"] * rng.standard_normal(image.shape)), 0, 65535
        )
        matrices.append(moved)
    return frames, matrices


def ours(reference: str) -> Callable[[Array, str], list[Array]]:
    """`register_series` at its defaults but for the reference."""

    def run(frames: Array, motion: str) -> list[Array]:
        result = register_series(frames, options={"motion": motion, "reference": reference})
        return [np.asarray(transform.matrix) for transform in result.transforms]

    return run


def stackreg(reference: str) -> Callable[[Array, str], list[Array]]:
    """TurboReg; its matrices are of x and y."""

    def run(frames: Array, motion: str) -> list[Array]:
        from pystackreg import StackReg

        kind = StackReg.TRANSLATION if motion == "translation" else StackReg.RIGID_BODY
        found = StackReg(kind).register_stack(frames.astype(float), reference=reference)
        return [matrix[[1, 0, 2]][:, [1, 0, 2]] for matrix in found]

    return run


def skimage(frames: Array, motion: str) -> list[Array]:
    """Phase correlation with the first frame, translation only."""
    from skimage.registration import phase_cross_correlation

    found = []
    for frame in frames:
        matrix = np.eye(3)
        matrix[:2, 2] = -phase_cross_correlation(frames[0], frame, upsample_factor=20)[0]
        found.append(matrix)
    return found


def pycorre(frames: Array, motion: str) -> list[Array]:
    """NoRMCorre, piecewise rigid: the matrices that fit the shifts of all patches best."""
    from pycorre import PWRigidMotionCorrection

    stride = min(96, frames.shape[1] // 4)
    window = stride + stride // 3
    model = PWRigidMotionCorrection(
        max_shifts=(FARTHEST, FARTHEST),
        upsample_factor_fft=20,
        strides=(stride, stride),
        overlaps=(stride // 3, stride // 3),
        max_deviation_rigid=None,  # a number would be taken about the whole shift, which is already undone
    ).fit(frames.astype(np.float32))
    patches = np.stack([part.numpy() for part in model.pwrigid_shifts], axis=-1)
    shifts = patches + model.rigid_shifts.numpy()[:, None, None]
    starts = [*range(0, frames.shape[1] - window, stride), frames.shape[1] - window]
    centres = np.stack(np.meshgrid(starts, starts, indexing="ij"), axis=-1).reshape(-1, 2) + (window - 1) / 2
    known = np.c_[centres, np.ones(len(centres))]
    found = []
    for moved in shifts.reshape(len(frames), -1, 2):
        matrix = np.eye(3)
        if motion == "translation":
            matrix[:2, 2] = moved.mean(axis=0)
        else:
            matrix[:2] += np.linalg.lstsq(known, moved, rcond=None)[0].T
        found.append(matrix)
    return found


RUNS: dict[str, Callable[[Array, str], list[Array]]] = {
    "none": lambda frames, motion: [np.eye(3)] * len(frames),
    "register_series, mean": ours("mean"),
    "register_series, frame": ours("frame"),
    "register_series, previous": ours("previous"),
    "pystackreg, first": stackreg("first"),
    "pystackreg, previous": stackreg("previous"),
    "PyCorre, piecewise": pycorre,
    "scikit-image": skimage,
}


def measure(kind: str, name: str, count: int, side: int) -> dict[str, Any]:
    """Errors up to the one motion that all frames have in common, seconds, megabytes above the movie."""
    frames, true = movie(kind, count, side)
    motion = "rigid" if KINDS[kind]["degrees"] else "translation"
    RUNS[name](frames[:8], motion)  # loads the libraries
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    began = time.perf_counter()
    found = RUNS[name](frames, motion)
    seconds = time.perf_counter() - began
    common = np.mean([np.linalg.solve(a, b) for a, b in zip(true, found, strict=True)], axis=0)
    corners = np.c_[Grid.from_spacing((side, side)).corners(), np.ones(4)]
    apart = np.array([(corners @ (b - a @ common).T)[:, :2] for a, b in zip(true, found, strict=True)])
    length = np.linalg.norm(apart, axis=2).mean(axis=1)
    tenth = max(1, count // 10)
    drift = np.linalg.norm(apart[-tenth:].mean(axis=(0, 1)) - apart[:tenth].mean(axis=(0, 1)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rms = float(np.sqrt((length**2).mean()))
    return {"rms": rms, "drift": float(drift), "seconds": seconds, "megabytes": peak - before}


def main() -> None:
    """Measure each contestant on each kind in a process of its own, and print the tables."""
    if len(sys.argv) == 5:
        print(json.dumps(measure(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))))
        return
    count, side = (int(x) for x in (*sys.argv[1:], "1000", "512")[:2])
    for kind in KINDS:
        rows = []
        for name in (*CONTESTANTS, *PEERS):
            words = [sys.executable, __file__, kind, name, str(count), str(side)]
            run = subprocess.run(words, capture_output=True, text=True)
            if run.returncode:
                rows.append([name, run.stderr.strip().splitlines()[-1], "", "", ""])
                continue
            found = json.loads(run.stdout.strip().splitlines()[-1])
            rows.append([name, *(f"{found[key]:.3g}" for key in ("rms", "drift", "seconds", "megabytes"))])
        heads = ("", "error, px (rms)", "drift, px", "s", "MB above the movie")
        print(f"{kind}: {count} frames of {side} x {side}\n\n{table(heads, rows)}\n", flush=True)


if __name__ == "__main__":
    main()
