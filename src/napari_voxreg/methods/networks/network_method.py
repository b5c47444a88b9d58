"""What the methods that ask a trained network share: its weights, one look, then refinement from there."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ...core.params import param
from ...core.progress import Progress, subprogress
from ...metrics.consistency import TRUST, agreement, sure
from ...metrics.pair import PairMetrics
from ...metrics.significance import Judge
from ...transforms import Affine, Transform
from ...weights import FOLDER, shipped
from .. import diffeo
from ..base import Method, Outcome, Task, WeightsParams
from ..simpleitk import affine

if TYPE_CHECKING:
    from ...nets.architectures.network import Network
    from ...nets.checkpoints.checkpoint import Loaded
    from ...nets.inference.predict import Predicted

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".h5", ".keras")
# Of what an optimiser found from an answer that was left out more is asked: so many times the gain that
# chance may bring, for it is one more try, and with unrelated images it came to almost twice.
DOUBT = 2.0
BACK = {2: 256, 3: 96}  # pixels along the longest side for the look back, which need not be fine


def look_into(params: type[NetworkParams], path: Path, *, progress: Progress) -> str:
    """What a checkpoint holds, in one line.

    Raises
    ------
    ValueError
        If the method of `params` cannot use it.
    """
    progress(None, "opening the weights")
    return _opened(params, path)[0].description


@dataclass(frozen=True, kw_only=True)
class NetworkParams(WeightsParams):
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
    affine: ClassVar[bool] = False  # whether the answer is no more than an affine map
    sizes: ClassVar[Mapping[int, int] | None] = None  # pixels along the longest side, where fewer are better

    @property
    def looks(self) -> int:
        """How often an affine network looks."""
        return 1

    def file(self, ndim: int) -> Path:
        """The checkpoint for images of so many axes."""
        return shipped(self.stem, ndim) if self.weights is None else self.weights

    def lead(self, ndim: int) -> Path | None:
        """The checkpoint of an affine network that looks first."""
        return None


@dataclass(frozen=True, kw_only=True)
class BendingParams(NetworkParams):
    """Parameters of methods whose network answers with a deformation."""

    affine_first: bool = param(
        True, "Have the shipped affine network look first, for turns, scales and shifts."
    )

    def lead(self, ndim: int) -> Path | None:
        """The checkpoint of an affine network that looks first."""
        return shipped("affine", ndim) if self.affine_first else None


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


def network_method(
    name: str, title: str, params: type[NetworkParams], reference: str, *, written_by_others: bool = False
) -> Method:
    """A method that asks a network.

    It works on images for which weights are shipped, and on any with weights of the user's own; these there
    are where some are shipped to begin a training with, or `written_by_others`.
    """
    ndims = tuple(d for d in (2, 3) if shipped(params.stem, d).is_file())
    return Method(
        name=name,
        title=title,
        params=params,
        run=run,
        presets={"accurate": {}, "fast": {"refine": False}},
        motion="affine" if params.affine else "deformable",
        ndims=ndims,
        own_ndims=(2, 3) if ndims or written_by_others else (),
        isolate=True,  # a pass through a volume takes longer than Cancel may
        landmarks=True,
        device=True,
        loads=(
            "napari_voxreg.nets.inference.predict",
            "napari_voxreg.nets.checkpoints.checkpoint",
            "napari_voxreg.diffeo.deform",
        ),
        reference=reference,
    )


def run(task: Task, params: NetworkParams, progress: Progress) -> Outcome:
    """Ask the network, refine its answer, and keep of both what makes the pair more alike; see `method.Run`.

    Raises
    ------
    ValueError
        If the weights cannot be used for this pair, or the device is not there.
    """
    progress(0.0, "loading the network")
    grid = task.fixed.grid
    began = time.perf_counter()
    loaded, fresh = _opened(params, params.file(grid.ndim))
    leading = params.lead(grid.ndim)
    lead = None if leading is None else _loaded(leading)[0].net
    loading = time.perf_counter() - began
    found, confidence = _asked(task, params, loaded.net, lead, subprogress(progress, 0.05, 0.4))
    took = f"Loading took {loading:.2g} s, the" if fresh else "The network was loaded already; its"
    notes = (f"Weights: {loaded.description}.", f"{took} pass {found.seconds:.2g} s.", *found.notes)
    judge = Judge(PairMetrics.of(task))
    progress(0.4, "comparing with the start")
    guided = task.landmarks is not None
    here = Affine.identity(grid.ndim)
    agreed = params.affine and not guided and sure(found.transform, here, confidence, grid)
    best, origins, why = _believed(found.transform, confidence, judge, guided, agreed)
    notes += why
    trace: tuple[float, ...] = ()
    if params.refine:
        there = replace(task, device=found.device)
        origins = origins[:1] if params.affine else origins  # an affine optimiser is slow: one start must do
        refine = _refined_affine if params.affine else _refined
        best, trace, how = _gone_on(best, origins, judge, there, refine, subprogress(progress, 0.45, 0.95))
        notes += how
    used = tuple((path.name, _digest(path)) for path in (params.file(grid.ndim), leading) if path is not None)
    return Outcome(best, notes, trace, confidence, extras=found.extras, device=found.device, weights=used)


@dataclass(frozen=True, eq=False)
class _Origin:
    """Where an optimiser may start, and how many times chance its result must gain; see `Judge.prefers`.

    Without a transform that is where the images lie.
    """

    name: str
    transform: Transform | None
    chances: float


def _believed(
    answer: Transform,
    confidence: float,
    judge: Judge,
    trust: bool,
    agreed: bool = False,
) -> tuple[Transform, tuple[_Origin, ...], tuple[str, ...]]:
    """The network's answer or the start, whichever is better; where to refine from, that first; and why.

    Chance has no part in what small steps make of an answer that is believed. From anywhere else an optimiser
    finds some likeness in images that have nothing to do with each other, too, so what it finds there must
    prove itself as a network's answer must. With `trust` even an answer that contradicts itself is judged.
    One that `agreed` with itself beyond chance stands unless the start is clearly better.
    """
    here = Affine.identity(answer.ndim)
    lay = _Origin("the images as they lay", None, 1.0)
    if not trust and confidence < TRUST:
        why = (
            "The network's answer was left out: asked from the moving image to the fixed one, it contradicts "
            f"itself at {100 * (1 - confidence):.0f} % of the places."
        )
        return here, (lay, _Origin("the network's answer all the same", answer, DOUBT)), (why,)
    if judge.prefers(answer, here) or (agreed and not judge.prefers(here, answer)):
        return answer, (_Origin("the network's answer", answer, 0.0), lay), ()
    why = "The network's answer made the images no more alike, so it was left out."
    return here, (lay, _Origin("the network's answer all the same", answer, DOUBT)), (why,)


def _gone_on(
    best: Transform,
    origins: tuple[_Origin, ...],
    judge: Judge,
    task: Task,
    refine: Callable[[Task, Progress], Outcome],
    progress: Progress,
) -> tuple[Transform, tuple[float, ...], tuple[str, ...]]:
    """The best of what there was and what an optimiser makes of the origins, its trace and what to say."""
    trace: tuple[float, ...] = ()
    how: tuple[str, ...] = ("Refinement brought no clear gain, so it was left out.",)
    for k, origin in enumerate(origins):
        if k and not judge.overlaps(origin.transform):
            continue
        stage = subprogress(progress, k / len(origins), (k + 1) / len(origins))
        if origin.transform is None:
            refined = refine(task, stage)
        else:
            refined = refine(task.placed(origin.transform), stage).followed_by(origin.transform)
        if judge.prefers(refined.transform, best, origin.chances):
            best, trace = refined.transform, refined.trace
            how = (f"Refined from {origin.name}.", *refined.notes)
            if origin.chances:
                break  # what has proved itself needs no second try
    return best, trace, how


def _asked(
    task: Task, params: NetworkParams, net: Network, lead: Network | None, progress: Progress
) -> tuple[Predicted, float]:
    """The network's answer, and how far it agrees with that to the pair the other way round."""
    from ...nets.inference.predict import predict

    fixed, moving = task.fixed, task.moving
    size = None if params.sizes is None else params.sizes[fixed.ndim]
    steps = params.looks
    found = predict(task, net, lead=lead, steps=steps, size=size, progress=subprogress(progress, 0.0, 0.7))
    back = predict(
        replace(task, fixed=moving, moving=fixed, device=found.device),
        net,
        lead=lead,
        steps=steps,
        size=min(size or BACK[fixed.ndim], BACK[fixed.ndim]),
        progress=subprogress(progress, 0.7, 1.0),
    )
    return found, agreement(found.transform, back.transform, fixed.grid, moving.grid)


def _refined(task: Task, progress: Progress) -> Outcome:
    """What the deformable optimiser adds."""
    return diffeo.METHOD.run(task, diffeo.METHOD.parameters(), progress)


def _refined_affine(task: Task, progress: Progress) -> Outcome:
    """What the affine optimiser adds."""
    return affine.METHOD.run(task, affine.METHOD.parameters(), progress)


def _opened(params: NetworkParams | type[NetworkParams], path: Path) -> tuple[Loaded, bool]:
    """A checkpoint of an architecture that the method can use, and whether it had to be read."""
    loaded, fresh = _loaded(path)
    kind = loaded.card["architecture"]
    if kind not in params.architectures:
        raise ValueError(
            f"{path.name} is for the architecture {kind!r}; "
            f"this method takes {' or '.join(map(repr, params.architectures))}."
        )
    return loaded, fresh


def _loaded(path: Path) -> tuple[Loaded, bool]:
    """A checkpoint, and whether it had to be read."""
    path = path.expanduser()
    if not path.is_file():
        missing = (
            f"no weights {path.stem} in the package" if path.parent == FOLDER else f"no weights at {path}"
        )
        raise ValueError(f"There are {missing}; choose a checkpoint of your own or another network.")
    state = path.stat()
    before = _read.cache_info().misses
    loaded = _read(path, state.st_mtime_ns, state.st_size)
    return loaded, _read.cache_info().misses > before


def _digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.expanduser().open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@lru_cache(maxsize=4)
def _read(path: Path, modified: int, size: int) -> Loaded:
    """A checkpoint; the process keeps the last few, so that only the first run waits for them."""
    from ...nets.checkpoints.checkpoint import open_checkpoint

    return open_checkpoint(path)
