"""What can be chosen for a training on one's own pairs; loads no torch, so that forms and help are quick."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from ..core.params import Params, param

Network = Literal[
    "voxelmorph",
    "voxelmorph displacement",
    "voxelmorph probabilistic",
    "voxelmorph cvpr 2018",
    "sar-voxelmorph",
    "pyramid",
    "matching affine",
    "multi-step affine",
    "avsm",
    "jsm",
    "stn",
    "tutorial stn",
    "detector affine",
]
Loss = Literal[
    "auto",
    "MSE",
    "L1",
    "NCC",
    "LNCC",
    "mk-LNCC",
    "NMI",
    "MIND",
    "edges",
    "seen NCC",
    "Dice",
    "end-point error",
]
Smoothness = Literal["diffusion", "bending", "Charbonnier"]
Start = Literal["scratch", "shipped", "weights"]
Guidance = Literal["input", "fill", "ones"]
Device = Literal[
    "auto",
    "cpu",
    "cuda",
    "cuda:0",
    "cuda:1",
    "cuda:2",
    "cuda:3",
    "cuda:4",
    "cuda:5",
    "cuda:6",
    "cuda:7",
    "mps",
]

Optimizer = Literal["auto", "Adam", "SGD"]

# Networks for which weights are shipped, for 2D, 3D or both, and the stems of these.
SHIPPED: Mapping[str, str] = {
    "voxelmorph": "voxelmorph",
    "pyramid": "pyramid",
    "matching affine": "affine",
    "avsm": "avsm",
    "jsm": "jsm",
    "stn": "stn",
}
# The losses of networks' own papers, where "auto" is not MSE.
LOSSES: Mapping[str, Loss] = {"avsm": "mk-LNCC", "multi-step affine": "mk-LNCC", "tutorial stn": "L1"}
# Shen et al.'s weights of inverse consistency, of affine maps and of deformations; part of their "auto".
SYMMETRY_AFFINE, SYMMETRY = 1.0, 500.0
# Deformable networks that, fine-tuned on images alone, have another loss: MSE follows speckle and contrast.
TUNED_BY = {"voxelmorph": "LNCC", "pyramid": "LNCC", "jsm": "LNCC"}
# What smoothness weighs beside each loss if the user does not say: SAR-VoxelMorph's for MSE, JSM's for its
# own loss; for NCC, LNCC, NMI and MIND the most that costs less than 0.03 pixels (scripts/training_sar.py).
# Seen NCC is for affine networks, which that has not tried; the others by the size of the loss.
SMOOTHNESS: Mapping[str, float] = {
    "MSE": 0.01,
    "L1": 0.01,
    "NCC": 1.0,
    "LNCC": 1.0,
    "mk-LNCC": 1.0,
    "NMI": 0.1,
    "MIND": 0.1,
    "edges": 1.0,
    "seen NCC": 0.1,
    "Dice": 1.0,
    "end-point error": 0.0,
}
# Networks that a step of the usual length throws far away.
SLOW = ("voxelmorph cvpr 2018", "sar-voxelmorph", "multi-step affine", "avsm", "jsm")
AFFINE_FIRST = ("avsm", "multi-step affine")  # networks that begin with a single affine step
TUTORIAL_RATE = 0.01  # of SGD, for the tutorial's STN
SIZES = {2: 128, 3: 96}
BATCHES = {2: 8, 3: 1}
SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".h5", ".keras")
AUGMENTATIONS = ("rotation", "shift", "scale", "flips", "crop", "elastic", "intensity", "speckle", "bias")
"""The options that change pairs, for a form to show together."""
LATER = ("epochs", "patience", "every", "show_every", "workers", "device")
"""The options that may be others when a run is resumed."""


@dataclass(frozen=True, kw_only=True)
class TrainOptions(Params):
    """Options of training on one's own pairs; the panel, the command line and Python share the names."""

    architecture: Network = param("pyramid", "The network; pyramid converges fastest.")
    start: Start = param(
        "scratch", "Where to begin: from scratch, from the weights shipped for the network, or from a file."
    )
    weights: Path | None = param(
        None, 'The file of weights to begin with, if start is "weights".', suffixes=SUFFIXES
    )
    loss: Loss = param(
        "auto",
        "Measure of dissimilarity; auto is MSE, but "
        + ", ".join(f"{loss} for {name}" for name, loss in LOSSES.items())
        + ", AVSM's with inverse consistency. From shipped weights it is end-point error where pairs have "
        + "true displacements, else LNCC for "
        + ", ".join(TUNED_BY)
        + ". Edges is Charbonnier and gradient, seen NCC ignores black "
        "borders, Dice needs labels and end-point error true displacements.",
    )
    smoothness_weight: float = param(
        0.0,
        "Weight of smoothness (lambda); 0 takes what suits the loss: "
        + ", ".join(f"{name} {value:g}" for name, value in SMOOTHNESS.items())
        + ".",
        range=(0.0, 1e6),
        special="auto",
    )
    learning_rate: float = param(
        0.0,
        "Learning rate; 0 takes 0.001, but 0.0001 where training begins with weights, and for "
        + ", ".join(SLOW)
        + ", as their authors do, and 0.01 for tutorial stn.",
        range=(0.0, 1.0),
        special="auto",
    )
    epochs: int = param(100, "Passes through the training pairs.", range=(1, 1_000_000))
    batch_size: int = param(
        0,
        f"Pairs per step; 0 takes {BATCHES[2]} in 2D and {BATCHES[3]} in 3D.",
        range=(0, 4096),
        special="auto",
    )
    size: int = param(
        0,
        "Pixels along the longest side of the training images; any other size may be registered later. "
        f"0 takes {SIZES[2]} in 2D and {SIZES[3]} in 3D.",
        range=(0, 4096),
        special="auto",
    )

    optimizer: Optimizer = param("auto", "Adam; auto is SGD for tutorial stn.", advanced=True)
    smoothness: Smoothness = param("diffusion", "How smoothness is measured.", advanced=True)
    symmetry: float = param(
        0.0,
        "Weight of the inverse-consistency loss.",
        range=(0.0, 1e6),
        advanced=True,
    )
    dice: float = param(
        0.0, "Weight of 1 - Dice beside the loss, where pairs have labels.", range=(0.0, 1e6), advanced=True
    )
    compare: bool = param(
        True,
        "Add local-correlation input channels; converges much faster. Off, networks are as published.",
        advanced=True,
    )
    guidance: Guidance = param(
        "input",
        "How joint saliency guides jsm from scratch. Input shows the map to the network, as published; fill "
        "weights MSE and L1 by it and fills in from where it is high; ones is the control.",
        advanced=True,
    )
    rehearse: bool = param(
        True,
        "Where training begins with shipped weights, also show generated pairs like those they learnt from, "
        "so that other kinds of images are not forgotten.",
        advanced=True,
    )
    affine_epochs: int = param(
        0,
        "Epochs of AVSM in which only its affine part is trained, the first half of them with a single step; "
        "0 takes a third of all.",
        range=(0, 1_000_000),
        special="auto",
        advanced=True,
    )
    steps: int = param(
        0,
        "Steps per epoch; 0 takes all training pairs once.",
        range=(0, 10_000_000),
        special="all",
        advanced=True,
    )
    patience: int = param(
        0,
        "Stop after so many epochs without a better validation; 0 never does.",
        range=(0, 1_000_000),
        special="never",
        advanced=True,
    )
    every: int = param(
        0,
        "Keep the weights of every so many epochs; 0 keeps the best and the last only.",
        range=(0, 1_000_000),
        special="never",
        advanced=True,
    )
    show_every: int = param(
        50,
        "Steps between two displays of the example pair; 0 shows none.",
        range=(0, 10_000_000),
        special="never",
        advanced=True,
    )
    seed: int = param(0, "Same seed, same curve.", range=(0, 2**31), advanced=True)
    device: Device = param("auto", "Where to compute.", advanced=True)
    precision: Literal["float32", "bfloat16"] = param(
        "float32",
        "Floating-point precision of the network; losses and fields are always float32.",
        advanced=True,
    )
    workers: int = param(
        2, "Processes that read pairs; 0 reads in the training process.", range=(0, 64), advanced=True
    )

    rotation: float = param(
        0.0, "Rotate both images together by up to this many degrees.", range=(0.0, 180.0), advanced=True
    )
    shift: float = param(
        0.0,
        "Translate both together by up to this fraction of the longest side.",
        range=(0.0, 0.5),
        advanced=True,
    )
    scale: float = param(
        0.0, "Enlarge or shrink both together by up to this fraction.", range=(0.0, 1.0), advanced=True
    )
    flips: bool = param(False, "Mirror both together, each axis every other time.", advanced=True)
    crop: float = param(
        0.0,
        "Crop both at random by up to this fraction of each side; the rest fills the training image.",
        range=(0.0, 0.9),
        advanced=True,
    )
    elastic: float = param(
        0.0,
        "Deform both together; root mean square as a fraction of the longest side.",
        range=(0.0, 0.1),
        advanced=True,
    )
    intensity: float = param(
        0.0,
        "Change brightness, contrast and exponent of each image by about this fraction.",
        range=(0.0, 1.0),
        advanced=True,
    )
    speckle: float = param(
        0.0,
        "Multiply each image by noise of up to this standard deviation.",
        range=(0.0, 1.0),
        advanced=True,
    )
    bias: float = param(
        0.0,
        "Multiply each image by a smooth field of up to this standard deviation.",
        range=(0.0, 1.0),
        advanced=True,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.start == "weights") != (self.weights is not None):
            raise ValueError('To begin with a file of weights, give it and set start to "weights".')
        if self.probabilistic and self.dissimilarity != "MSE":
            raise ValueError(f"The probabilistic VoxelMorph is trained with MSE, not with {self.loss}.")

    @property
    def probabilistic(self) -> bool:
        """Whether the network predicts a distribution of velocities, which has a loss of its own."""
        return self.architecture == "voxelmorph probabilistic"

    @property
    def smooth(self) -> float:
        """Weight of smoothness."""
        return self.smoothness_weight or SMOOTHNESS[self.dissimilarity]

    @property
    def dissimilarity(self) -> str:
        """The loss, where "auto" is that of the network's paper."""
        return LOSSES.get(self.architecture, "MSE") if self.loss == "auto" else self.loss

    @property
    def descent(self) -> str:
        """The optimiser, where "auto" is that of the network's authors."""
        if self.optimizer == "auto":
            return "SGD" if self.architecture == "tutorial stn" else "Adam"
        return self.optimizer

    def inverse_consistency(self, affine: bool) -> float:
        """Weight of the inverse-consistency loss of an affine map or of a deformation."""
        if self.loss != "auto" or self.architecture not in AFFINE_FIRST:
            return self.symmetry
        return self.symmetry or (SYMMETRY_AFFINE if affine else SYMMETRY)

    @property
    def rate(self) -> float:
        """The learning rate."""
        gentle = self.architecture in SLOW or self.start != "scratch"
        usual = TUTORIAL_RATE if self.architecture == "tutorial stn" else 1e-4 if gentle else 1e-3
        return self.learning_rate or usual

    @property
    def augmented(self) -> bool:
        """Whether pairs are changed at all."""
        return any(getattr(self, name) for name in AUGMENTATIONS)

    def pairs_a_step(self, ndim: int) -> int:
        """The batch size."""
        return self.batch_size or BATCHES[ndim]

    def side(self, ndim: int) -> int:
        """Pixels along the longest side of the training images."""
        return self.size or SIZES[ndim]

    def affine_part(self) -> int:
        """Epochs that AVSM begins with its affine part alone."""
        return self.affine_epochs or -(-self.epochs // 3)

    def single_step(self, epoch: int) -> bool:
        """Whether an affine network that takes several steps takes only one in an epoch: the first ones."""
        return (
            self.architecture in AFFINE_FIRST and self.start == "scratch" and epoch <= self.affine_part() // 2
        )

    def settled(self, known: bool) -> TrainOptions:
        """With what follows from the number of epochs and from the pairs written out, so that it stays.

        Parameters
        ----------
        known : bool
            Whether the pairs have true displacements.
        """
        changes: dict[str, Any] = {}
        if self.architecture in AFFINE_FIRST:
            changes["affine_epochs"] = self.affine_part()
        if self.loss == "auto" and self.start == "shipped":
            changes["loss"] = "end-point error" if known else TUNED_BY.get(self.architecture, "auto")
        return replace(self, **changes)

    def changed(self, **values: Any) -> TrainOptions:
        """With other values for a resumed run.

        Raises
        ------
        ValueError
            If one of them cannot change any more.
        """
        for name, value in values.items():
            if name not in LATER and value != self.as_dict().get(name):
                raise ValueError(
                    f"{name} cannot change when a run goes on; start another one, or change only "
                    f"{', '.join(LATER)}."
                )
        return self.from_dict(self.as_dict() | values)


ARCHITECTURES: tuple[str, ...] = get_args(Network)
