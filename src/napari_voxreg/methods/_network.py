"""What the methods that ask a trained network share: its weights, one look, then refinement from there."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..geometry import Image
from ..likeness import Likeness
from ..measures import LOCAL_WINDOW, landmark_errors
from ..method import Method, Outcome, Progress, part
from ..params import Params, param
from ..transforms import Affine, Transform, chain
from . import affine, diffeo
from ._agreement import TRUST, agreement

if TYPE_CHECKING:
    from ..nets.checkpoint import Loaded
    from ..nets.predict import Predicted

WEIGHTS = Path(__file__).parent.parent / "weights"
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".h5", ".keras")
SCARCE = 0.05  # part of the fixed image: with less overlap there is nothing to compare with
KEPT = 0.5  # of the overlap that a result must keep: less of it always looks more alike
NOISE = 0.002  # of the local correlation, which interpolation alone may change as much
# Textures that have nothing to do with each other agree here more and there less: by how much their local
# correlation rises by chance at most, measured on random ones, in parts of what is missing to 1 and for a
# picture of one window; more windows lower it by their square root.
CHANCE = 0.6

BACK = {2: 256, 3: 96}  # pixels along the longest side for the look back, which need not be fine

Points = tuple[npt.NDArray[Any], npt.NDArray[Any]]


def look_into(params: type[NetworkParams], path: Path, *, progress: Progress) -> str:
    """What a checkpoint holds, in one line.

    Raises
    ------
    ValueError
        If the method of `params` cannot use it.
    """
    progress(None, "opening the weights")
    return _opened(params, path)[0].says


@dataclass(frozen=True, kw_only=True)
class NetworkParams(Params):
    """Parameters of all methods that ask a network."""

    weights: Path | None = param(
        None,
        "A checkpoint of your own; empty takes the weights that come with the package.",
        suffixes=SUFFIXES,
        says=look_into,
    )
    refine: bool = param(
        True, "Go on with an optimiser on the pair itself, from the network's answer or the start if better."
    )

    stem: ClassVar[str]  # of the names of the shipped weights, which end in 2d and 3d
    architectures: ClassVar[tuple[str, ...]]  # that the method can use
    affine: ClassVar[bool] = False  # whether the answer is no more than an affine map
    sizes: ClassVar[Mapping[int, int] | None] = None  # pixels along the longest side, where fewer are better

    @property
    def looks(self) -> int:
        """How often an affine network looks."""
        return 1

    def file(self, ndim: int) -> Path:
        """The checkpoint for images of so many axes."""
        return shipped(self.stem, ndim) if self.weights is None else self.weights


@dataclass(frozen=True, kw_only=True)
class SteppedParams(NetworkParams):
    """Parameters of methods whose network, or its first part, answers with an affine map."""

    steps: int = param(
        7,
        "How often the affine network looks, each time at the moving image as its map so far brings it.",
        range=(1, 50),
    )

    @property
    def looks(self) -> int:
        """How often an affine network looks."""
        return self.steps


def shipped(stem: str, ndim: int) -> Path:
    """Where the package keeps weights, whether they are there or not."""
    return WEIGHTS / f"{stem}{ndim}d.safetensors"


def network_method(name: str, title: str, params: type[NetworkParams], reference: str) -> Method:
    """A method that asks a network; it works on the images for which weights are shipped, and on any with
    weights of the user's own."""
    return Method(
        name=name,
        title=title,
        params=params,
        run=run,
        presets={"accurate": {}, "fast": {"refine": False}},
        ndims=tuple(d for d in (2, 3) if shipped(params.stem, d).is_file()),
        own_ndims=(2, 3),
        isolate=True,  # a pass through a volume takes longer than Cancel may
        landmarks=True,
        device=True,
        loads=("napari_voxreg.nets.predict", "napari_voxreg.nets.checkpoint", "napari_voxreg.diffeo.deform"),
        reference=reference,
    )


def run(
    fixed: Image,
    moving: Image,
    params: NetworkParams,
    *,
    initial: Transform | None,
    fixed_mask: Image | None,
    moving_mask: Image | None,
    points: Points | None,
    seed: int,
    device: str,
    progress: Progress,
) -> Outcome:
    """Ask the network, refine its answer, and keep of both what makes the pair more alike; see `method.Run`.

    Raises
    ------
    ValueError
        If the weights cannot be used for this pair, or the device is not there.
    """
    progress(0.0, "loading the network")
    began = time.perf_counter()
    loaded, fresh = _opened(params, params.file(fixed.ndim))
    loading = time.perf_counter() - began
    found, confidence = _asked(params, loaded, fixed, moving, initial, device, part(progress, 0.05, 0.4))
    took = f"Loading took {loading:.2g} s, the" if fresh else "The network was loaded already; its"
    notes = [f"Weights: {loaded.says}.", f"{took} pass {found.seconds:.2g} s.", *found.notes]
    judge = _Judge(fixed, moving, fixed_mask, moving_mask, points)
    start = Affine.identity(fixed.ndim) if initial is None else initial
    progress(0.4, "comparing with the start")
    best: Transform = start
    trace: tuple[float, ...] = ()
    if points is None and confidence < TRUST:
        notes.append(
            "The network's answer was left out: asked from the moving image to the fixed one, it contradicts "
            f"itself at {100 * (1 - confidence):.0f} % of the places."
        )
    elif judge.prefers(found.transform, start):
        best = found.transform
    else:
        notes.append("The network's answer made the images no more alike, so it was left out.")
    # What bends may go on from either: where the network was wrong by more than can be mended from there, the
    # images as they lay are the better start.
    how: tuple[str, ...] = ("Refinement made the images no more alike, so it was left out.",)
    origins = [best] if best is start or params.affine else [best, start]
    for k, origin in enumerate(origins if params.refine else ()):
        refined = _refined(
            params,
            fixed,
            moving,
            initial=None if origin is start and initial is None else origin,
            fixed_mask=fixed_mask,
            moving_mask=moving_mask,
            points=points,
            seed=seed,
            device=found.device,
            progress=part(progress, *(0.45 + 0.5 * (k + n) / len(origins) for n in (0, 1))),
        )
        if judge.prefers(refined.transform, best, near=origin is best):
            best, trace = refined.transform, refined.trace
            where = "the network's answer" if origin is not start else "the images as they lay"
            how = (f"Refined from {where}.", *refined.notes)
    told = (*notes, *how) if params.refine else tuple(notes)
    return Outcome(best, told, trace, confidence, extras=found.extras)


def _asked(
    params: NetworkParams,
    loaded: Loaded,
    fixed: Image,
    moving: Image,
    initial: Transform | None,
    device: str,
    progress: Progress,
) -> tuple[Predicted, float]:
    """The network's answer, and how far it agrees with that to the pair the other way round."""
    from ..nets.predict import predict

    size = None if params.sizes is None else params.sizes[fixed.ndim]
    found = predict(
        fixed,
        moving,
        loaded.net,
        initial=initial,
        steps=params.looks,
        size=size,
        device=device,
        progress=part(progress, 0.0, 0.7),
    )
    back = predict(
        moving,
        fixed,
        loaded.net,
        initial=None if initial is None else initial.inverse(moving.grid),
        steps=params.looks,
        size=min(size or BACK[fixed.ndim], BACK[fixed.ndim]),
        device=found.device,
        progress=part(progress, 0.7, 1.0),
    )
    return found, agreement(found.transform, back.transform, fixed.grid, moving.grid)


class _Judge:
    """Says whether one transform brings a pair together better than another."""

    def __init__(
        self,
        fixed: Image,
        moving: Image,
        fixed_mask: Image | None,
        moving_mask: Image | None,
        points: Points | None,
    ) -> None:
        self.likeness = Likeness(fixed, moving, fixed_mask, moving_mask)
        self.points = points

    def prefers(self, new: Transform, old: Transform, near: bool = False) -> bool:
        """By landmarks where there are any, else by local correlation on the pixels that both cover.

        What an optimiser made of the old one is `near`: chance has no part in that.
        """
        if self.points is not None:
            after, before = (float(landmark_errors(t, *self.points).mean()) for t in (new, old))
            return after < before
        (before, after), (least, overlap) = self.likeness.compare(old, new)
        if np.isnan(before) or least < SCARCE:
            return overlap > least
        if near:
            return overlap >= KEPT * least and after > before
        windows = overlap * self.likeness.fixed.data.size / LOCAL_WINDOW**self.likeness.fixed.ndim
        gain = NOISE + CHANCE * (1 - before) / max(windows, 1.0) ** 0.5
        return overlap >= KEPT * least and after > before + gain


def _refined(params: NetworkParams, fixed: Image, moving: Image, device: str, **rest: Any) -> Outcome:
    """The answer after an optimiser of its own kind has gone on from there, on the CPU if need be."""
    if params.affine:
        return _refined_affine(fixed, moving, **rest)
    from ..nets.device import reason_to_leave

    options = diffeo.METHOD.parameters()
    try:
        return diffeo.METHOD.run(fixed, moving, options, device=device, **rest)
    except (RuntimeError, MemoryError) as error:
        why = reason_to_leave(error)
        if why is None or device == "cpu":
            raise
    found = diffeo.METHOD.run(fixed, moving, options, device="cpu", **rest)
    return replace(found, notes=(f"The {device.upper()} device {why}; the CPU refined.", *found.notes))


def _refined_affine(fixed: Image, moving: Image, **rest: Any) -> Outcome:
    """An affine answer after the affine method has gone on from there."""
    start = rest.pop("initial")
    matrix = start.matrix if isinstance(start, Affine) else np.eye(fixed.ndim + 1)
    # An affine start moves the moving image's grid; one that bends stays where it is.
    grid = moving.grid.moved(np.linalg.inv(matrix))
    mask = rest.pop("moving_mask")
    found = affine.METHOD.run(
        fixed,
        moving.with_grid(grid),
        affine.METHOD.parameters(),
        initial=None if isinstance(start, Affine) else start,
        moving_mask=None if mask is None else mask.with_grid(grid),
        device="cpu",
        **rest,
    )
    return replace(found, transform=chain(found.transform, Affine(matrix)))


def _opened(params: NetworkParams | type[NetworkParams], path: Path) -> tuple[Loaded, bool]:
    """A checkpoint of an architecture that the method can use, and whether it had to be read."""
    path = path.expanduser()
    if not path.is_file():
        missing = (
            f"no weights {path.stem} in the package" if path.parent == WEIGHTS else f"no weights at {path}"
        )
        raise ValueError(f"There are {missing}; choose a checkpoint of your own or another network.")
    state = path.stat()
    before = _read.cache_info().misses
    loaded = _read(path, state.st_mtime_ns, state.st_size)
    kind = loaded.card["architecture"]
    if kind not in params.architectures:
        raise ValueError(
            f"{path.name} is for the architecture {kind!r}; "
            f"this method takes {' or '.join(map(repr, params.architectures))}."
        )
    return loaded, _read.cache_info().misses > before


@lru_cache(maxsize=3)
def _read(path: Path, modified: int, size: int) -> Loaded:
    """A checkpoint; the process keeps the last few, so that only the first run waits for them."""
    from ..nets.checkpoint import open_checkpoint

    return open_checkpoint(path)
