"""A smooth invertible deformation, coarse to fine, by Gauss-Newton steps on a stationary velocity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ..core.params import Params, param
from ..core.progress import Progress
from .base import Method, Outcome, Task


@dataclass(frozen=True, kw_only=True)
class Diffeo(Params):
    """Parameters of the deformable optimiser; lengths are in pixels of the fixed image's finest spacing."""

    similarity: Literal[
        "auto", "local correlation", "self-similarity", "mutual information", "mean squares"
    ] = param(
        "auto",
        "What is compared: local correlation within a modality, self-similarity (MIND-SSC) or mutual "
        "information across modalities, mean squares for equal brightness; auto chooses from the pair.",
    )
    smoothness: float = param(
        1.0, "Weight of the smoothness term; more gives a smoother deformation.", range=(0.001, 1000.0)
    )
    control_spacing: float = param(
        0.0,
        "Distance of the control points at the finest level, in pixels; 0 takes two pixels of that level.",
        range=(0.0, 1000.0),
        special="auto",
    )
    levels: int = param(4, "Levels; more find larger motions.", range=(1, 8))
    iterations: int = param(
        12, "Steps at each level, at most; a level stops when the cost stalls.", range=(1, 1000)
    )
    inverse_consistent: bool = param(
        False, "Compare both ways, so that exchanging the images gives the inverse; takes twice as long."
    )
    landmark_weight: float = param(1.0, "Weight of the landmarks.", range=(0.0, 1000.0))
    finest: int = param(
        0,
        "Pixel size of the finest level, in pixels; 1 is full resolution, 0 is chosen by the images' size.",
        range=(0, 64),
        special="auto",
        advanced=True,
    )
    radius: int = param(
        3, "Half the window of the local correlation, in pixels of each level.", range=(1, 15), advanced=True
    )


def run(task: Task, params: Diffeo, progress: Progress) -> Outcome:
    """Register; see `Run`."""
    progress(0.0, "deformation")
    from ..diffeo.deform import deform
    from ..diffeo.settings import Settings

    found = deform(task, Settings(**params.as_dict()), progress)
    return Outcome(found.transform, notes=found.notes, trace=found.trace, device=found.device)


# Cortex and ventricles of two people differ from pixel to pixel: near control points, little smoothness.
BETWEEN_SUBJECTS = {
    "control_spacing": 2.0,
    "smoothness": 0.3,
    "radius": 2,
    "inverse_consistent": True,
}

METHOD = Method(
    name="diffeo",
    title="Diffeomorphic (Gauss-Newton, torch)",
    params=Diffeo,
    run=run,
    presets={
        "default": {},
        "between subjects": BETWEEN_SUBJECTS,
        "between subjects, fine": {**BETWEEN_SUBJECTS, "finest": 1},
        "between subjects, fast": {**BETWEEN_SUBJECTS, "control_spacing": 4.0, "inverse_consistent": False},
    },
    motion="deformable",
    isolate=True,  # a step of a large volume takes longer than Cancel may
    landmarks=True,
    device=True,
    loads=("napari_voxreg.diffeo.deform",),
    reference="Arsigny et al., MICCAI 2006; Vercauteren et al., MICCAI 2008; Avants et al., MedIA 12, 2008",
)
