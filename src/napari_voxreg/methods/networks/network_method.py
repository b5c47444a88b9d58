"""Shared by the network methods: weights, a prediction in one or several passes, then refinement."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from ...core.params import param
from ...core.progress import Progress, silent, subprogress
from ...io.guards import user_path
from ...metrics.consistency import TRUST, agreement, sure
from ...metrics.pair import PairMetrics
from ...metrics.significance import Judge
from ...transforms import Affine, Transform
from ...weights import FOLDER, shipped
from .. import diffeo
from ..base import Method, Outcome, Task, WeightsParams
from ..simpleitk import affine

if TYPE_CHECKING:
    from ...nets.checkpoints.checkpoint import Loaded
    from ...nets.inference.predict import Predicted

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".h5", ".keras")
# Gain that a refinement from a rejected prediction needs, in multiples of the gain by chance. It is one more
# trial, and on unrelated images it reached almost twice that gain.
DOUBT = 2.0
BACK = {2: 256, 3: 96}  # pixels along the longest side of the backward prediction, which can be coarse


def describe_checkpoint(params: type[NetworkParams], path: Path, *, progress: Progress) -> str:
    """Describe a checkpoint in one line.

    Raises
    ------
    ValueError
        If the method of `params` cannot use it.
    """
    progress(None, "opening the weights")
    return _opened(params, path)[0].description


@dataclass(frozen=True, kw_only=True)
class NetworkParams(WeightsParams):
    """Parameters of all network methods."""

    weights: Path | None = param(
        None,
        "A checkpoint of your own; empty takes the weights that come with the package.",
        suffixes=SUFFIXES,
        describe=describe_checkpoint,
    )
    refine: bool = param(True, "Refine on this pair (instance optimisation).")
    keep_prediction: Literal["auto", "always", "if better"] = param(
        "auto",
        "Whether the network's prediction is kept even where the images become no more similar; auto keeps "
        "that of your own weights, and of shipped ones only if better.",
    )

    size: int = param(
        0,
        "Pixels along the longest side that the network sees, at most; 0 takes what suits shipped weights, "
        "and for weights of your own the size of training.",
        range=(0, 4096),
        special="auto",
        advanced=True,
    )

    stem: ClassVar[str]  # of the names of the shipped weights, which end in 2d and 3d
    affine: ClassVar[bool] = False  # whether the prediction is an affine map only
    sizes: ClassVar[Mapping[int, int] | None] = None  # pixels along the longest side, if fewer are better

    @property
    def passes(self) -> int:
        """Number of affine passes."""
        return 1

    @property
    def keeps(self) -> bool:
        """Whether the prediction is kept whatever the images look like under it."""
        if self.keep_prediction == "auto":
            return self.weights is not None
        return self.keep_prediction == "always"

    def file(self, ndim: int) -> Path:
        """The checkpoint for images of so many axes."""
        return shipped(self.stem, ndim) if self.weights is None else self.weights

    def lead(self, ndim: int) -> Path | None:
        """The checkpoint of the affine network that runs first, if any."""
        return None


@dataclass(frozen=True, kw_only=True)
class DeformableParams(NetworkParams):
    """Parameters of methods whose network predicts a deformation."""

    affine_first: bool = param(
        True, "Run the shipped affine network first, for rotation, scale and translation."
    )

    def lead(self, ndim: int) -> Path | None:
        """The checkpoint of the affine network that runs first, if any."""
        return shipped("affine", ndim) if self.affine_first else None


@dataclass(frozen=True, kw_only=True)
class SteppedParams(NetworkParams):
    """Parameters of methods whose network, or its first stage, predicts an affine map."""

    steps: int = param(
        7,
        "Number of affine passes, each on the moving image under the map found so far.",
        range=(1, 50),
    )

    @property
    def passes(self) -> int:
        """Number of affine passes."""
        return self.steps


def network_method(
    name: str, title: str, params: type[NetworkParams], reference: str, *, written_by_others: bool = False
) -> Method:
    """A method that uses a network.

    It works on images for which weights are shipped. The user's own weights serve any image, if some weights
    are shipped (a training can begin with them) or others publish them (`written_by_others`).
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
    """Predict, refine the prediction, and keep whichever raises the similarity; see `base.Run`.

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
    if leading is not None:
        read_weights(leading)  # here, so that it counts as loading
    loading = time.perf_counter() - began
    found, confidence = _predictions(task, params, loaded, subprogress(progress, 0.05, 0.4))
    took = f"Loading took {loading:.2g} s, the" if fresh else "The network was loaded already; its"
    seen = f" on {' x '.join(map(str, found.shape))} pixels" if found.shape else ""
    notes = (f"Weights: {loaded.description}.", f"{took} pass {found.seconds:.2g} s{seen}.", *found.notes)
    judge = Judge(PairMetrics.of(task))
    progress(0.4, "comparing with the current position")
    guided = task.landmarks is not None
    here = Affine.identity(grid.ndim)
    agreed = params.affine and not guided and sure(found.transform, here, confidence, grid)
    best, origins, doubt = _accepted(found.transform, confidence, judge, guided, agreed)
    rejected = bool(doubt) and not params.keeps
    if rejected:
        notes += (f"Prediction rejected: {doubt}.",)
    elif doubt:
        best, origins = found.transform, (_Origin("the prediction", found.transform, 0.0),)
        notes += (f"Prediction kept, although {doubt}.",)
    trace: tuple[float, ...] = ()
    if params.refine:
        there = replace(task, device=found.device)
        origins = origins[:1] if params.affine else origins  # an affine optimiser is slow: one origin must do
        refine = _refined_affine if params.affine else _refined
        best, trace, how = _refined_best(
            best, origins, judge, there, refine, subprogress(progress, 0.45, 0.95)
        )
        notes += how
    used = recorded(*(path for path in (params.file(grid.ndim), leading) if path is not None))
    return Outcome(
        best,
        notes,
        trace,
        confidence,
        extras=found.extras,
        device=found.device,
        weights=used,
        rejected=rejected,
    )


@dataclass(frozen=True, eq=False)
class _Origin:
    """An initial transform of the optimiser, and the gain its result needs; see `Judge.prefers`.

    None as transform is the current position of the images. `chances` are multiples of the gain by chance.
    """

    name: str
    transform: Transform | None
    chances: float


def _accepted(
    prediction: Transform,
    confidence: float,
    judge: Judge,
    trust: bool,
    agreed: bool = False,
) -> tuple[Transform, tuple[_Origin, ...], str]:
    """The prediction or the identity, whichever is better; the origins to refine from, best first.

    Last is what speaks against the prediction, a clause, empty if nothing does.

    Small steps from an accepted prediction gain nothing by chance. From elsewhere an optimiser raises the
    similarity even of unrelated images, so its result must beat chance, as a prediction must. With `trust`
    even a prediction that is not consistent is compared. A prediction whose directions `agreed` beyond chance
    stands unless the identity is clearly better.
    """
    here = Affine.identity(prediction.ndim)
    current = _Origin("the current positions", None, 1.0)
    rejected = _Origin("the rejected prediction", prediction, DOUBT)
    if not trust and confidence < TRUST:
        doubt = f"forward and backward predictions disagree at {100 * (1 - confidence):.0f} % of the points"
        return here, (current, rejected), doubt
    if judge.prefers(prediction, here) or (agreed and not judge.prefers(here, prediction)):
        return prediction, (_Origin("the prediction", prediction, 0.0), current), ""
    return here, (current, rejected), "it does not raise the similarity of the images"


def _refined_best(
    best: Transform,
    origins: tuple[_Origin, ...],
    judge: Judge,
    task: Task,
    refine: Callable[[Task, Progress], Outcome],
    progress: Progress,
) -> tuple[Transform, tuple[float, ...], tuple[str, ...]]:
    """The best of a transform and its refinements from the origins; the trace and the notes."""
    trace: tuple[float, ...] = ()
    how: tuple[str, ...] = ("Refinement rejected: no clear gain.",)
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
                break  # a result that beat chance needs no second trial
    return best, trace, how


def predicted(
    task: Task,
    params: NetworkParams,
    loaded: Loaded,
    most: int | None = None,
    progress: Progress = silent,
) -> Predicted:
    """The prediction of a network after the affine one, as the preset fast keeps it.

    Parameters
    ----------
    task : Task
    params : NetworkParams
        Say how; their weights are not used.
    loaded : Loaded
        The network.
    most : int, optional
        Pixels along the longest side, at most.
    progress : Progress
        May raise `Cancelled`.
    """
    from ...nets.inference.predict import predict

    ndim = task.fixed.ndim
    leading = params.lead(ndim)
    size = params.size or (None if params.sizes is None else params.sizes[ndim])
    if not params.size and loaded.side is not None and loaded.net.first_side is None:
        size = loaded.side  # one pass, at the size that it knows
    if most is not None:
        size = min(size or most, most)
    lead = None if leading is None else read_weights(leading)[0].net
    return predict(task, loaded.net, lead=lead, steps=params.passes, size=size, progress=progress)


def _predictions(
    task: Task, params: NetworkParams, loaded: Loaded, progress: Progress
) -> tuple[Predicted, float]:
    """The forward prediction, and how far the backward one agrees with it."""
    fixed, moving = task.fixed, task.moving
    found = predicted(task, params, loaded, progress=subprogress(progress, 0.0, 0.7))
    back = predicted(
        replace(task, fixed=moving, moving=fixed, device=found.device),
        params,
        loaded,
        BACK[fixed.ndim],
        subprogress(progress, 0.7, 1.0),
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
    loaded, fresh = read_weights(path)
    kind = loaded.card["architecture"]
    if kind not in params.architectures:
        raise ValueError(
            f"{path.name} is for the architecture {kind!r}; "
            f"this method takes {' or '.join(map(repr, params.architectures))}."
        )
    return loaded, fresh


def read_weights(path: Path) -> tuple[Loaded, bool]:
    """A checkpoint, and whether it had to be read."""
    path = user_path(path)
    if not path.is_file():
        missing = (
            f"no weights {path.stem} in the package" if path.parent == FOLDER else f"no weights at {path}"
        )
        raise ValueError(f"There are {missing}; choose a checkpoint of your own or another network.")
    state = path.stat()
    before = _read.cache_info().misses
    loaded = _read(path, state.st_mtime_ns, state.st_size)
    return loaded, _read.cache_info().misses > before


def recorded(*paths: Path) -> tuple[tuple[str, str], ...]:
    """Names of checkpoints with their SHA-256, for the record of a result."""
    found = []
    for path in paths:
        with user_path(path).open("rb") as file:
            found.append((path.name, hashlib.file_digest(file, "sha256").hexdigest()))
    return tuple(found)


@lru_cache(maxsize=4)
def _read(path: Path, modified: int, size: int) -> Loaded:
    """A checkpoint; the process keeps the last few, so that only the first run waits for them."""
    from ...nets.checkpoints.checkpoint import open_checkpoint

    return open_checkpoint(path)
