"""What a registration method is, what it returns, and how it reports progress."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from ..core.geometry import Image
from ..core.params import Params, param
from ..core.progress import Progress
from ..images.task import Landmarks, Task
from ..transforms import Transform, chain

__all__ = ["Landmarks", "Method", "Motion", "Outcome", "Run", "Task", "WeightsParams"]

Motion = Literal["translation", "rigid", "similarity", "affine", "deformable"]


@dataclass(frozen=True)
class Outcome:
    """What a method found.

    Parameters
    ----------
    transform : Transform
        From world points of the fixed image to world points of the moving image of the task.
    notes : tuple of str
        Sentences for the user (decisions and warnings).
    trace : tuple of float
        The metric at each iteration, all stages in order.
    confidence : float, optional
        0 to 1, if the method estimates it.
    extras : mapping
        Named images and transforms worth showing.
    files : mapping
        File name to content, to be saved beside the transform (elastix's own parameter files and log, say).
    device : str
        Where it was computed in the end: "cpu", "cuda", "cuda:1" or "mps".
    weights : tuple of (str, str)
        File name and SHA-256 of each checkpoint that was used.
    rejected : bool
        Whether a network's prediction was rejected, so that the transform is not the network's.
    """

    transform: Transform
    notes: tuple[str, ...] = ()
    trace: tuple[float, ...] = ()
    confidence: float | None = None
    extras: Mapping[str, Image | Transform] = field(default_factory=dict)
    files: Mapping[str, bytes] = field(default_factory=dict)
    device: str = "cpu"
    weights: tuple[tuple[str, str], ...] = ()
    rejected: bool = False

    def followed_by(self, transform: Transform) -> Outcome:
        """What was found on ``task.placed(transform)`` as an outcome on the task itself.

        The transform is chained to the one that was found and to every transform among the extras.
        """
        extras = {
            name: value if isinstance(value, Image) else chain(value, transform)
            for name, value in self.extras.items()
        }
        return replace(self, transform=chain(self.transform, transform), extras=extras)


class Run(Protocol):
    """The function behind a method.

    It never prints, opens the user's files, reads the environment or modifies its inputs.
    """

    def __call__(self, task: Task, params: Any, progress: Progress) -> Outcome:
        """Register a pair from its current position.

        Parameters
        ----------
        task : Task
            The pair. An initial transform has already been applied to it by `register`.
        params : Params
            An instance of the method's own class.
        progress : Progress
            Called often; may raise `Cancelled`, which the method lets through.
        """


@dataclass(frozen=True, kw_only=True)
class WeightsParams(Params):
    """Parameters of a method that takes weights."""

    weights: Path | None = param(None, "A checkpoint of your own.")

    architectures: ClassVar[tuple[str, ...]] = ()  # whose weights the method can use, as cards name them

    def file(self, ndim: int) -> Path | None:
        """The checkpoint that is used for images of so many axes."""
        return self.weights


@dataclass(frozen=True)
class Method:
    """A registration method as a value.

    Parameters
    ----------
    name : str
        In code, on the command line and in records.
    title : str
        In the panel.
    params : type of Params
        Its parameters with defaults.
    run : Run
        The function that does the work.
    presets : mapping
        Preset name to the parameters that differ from the defaults; the first is the panel's default.
    motion : {"translation", "rigid", "similarity", "affine", "deformable"}
        The most general kind of motion that it finds, on 2D as on 3D images.
    ndims : tuple of int
        The numbers of axes it works on.
    own_ndims : tuple of int
        Those it works on with weights of the user's own, its parameter `weights`.
    isolate : bool
        Whether `run` is called in the warm child process (because it takes no callback or holds the
        interpreter lock).
    landmarks : bool
        Whether corresponding points guide it; the verdict uses them in any case.
    anywhere : bool
        Whether it searches the whole world, so that the images need not overlap initially.
    device : bool
        Whether it computes on tensors, so that the user may choose where; the others run on the CPU.
    loads : tuple of str
        Modules that the child process may import ahead, because they take seconds.
    reference : str
        The paper or library behind it.
    needs : str
        The module without which it is unavailable, if that does not come with this package.
    extra : str
        The extra of this package that brings the module.
    """

    name: str
    title: str
    params: type[Params]
    run: Run
    presets: Mapping[str, Mapping[str, Any]]
    motion: Motion
    ndims: tuple[int, ...] = (2, 3)
    own_ndims: tuple[int, ...] = ()
    isolate: bool = False
    landmarks: bool = False
    anywhere: bool = False
    device: bool = False
    loads: tuple[str, ...] = ()
    reference: str = ""
    needs: str = ""
    extra: str = ""

    @property
    def architectures(self) -> tuple[str, ...]:
        """The architectures whose weights it can use; empty if it takes no weights."""
        return self.params.architectures if issubclass(self.params, WeightsParams) else ()

    def refusal(self, ndim: int, params: Params) -> str:
        """Why it cannot work on images of so many axes, and the remedy; empty if it can."""
        own = isinstance(params, WeightsParams) and params.weights is not None
        if ndim in (self.own_ndims if own else self.ndims):
            return ""
        if not own and ndim in self.own_ndims:
            return (
                f"No weights for {ndim}D images come with the package for {self.title}; "
                "choose weights of your own or another method."
            )
        return f"{self.title} does not work on {ndim}D images; choose another method."

    def parameters(
        self, preset: str | None = None, params: Params | Mapping[str, Any] | None = None
    ) -> Params:
        """The parameters of a preset (the first if None), with those of `params` on top.

        Raises
        ------
        ValueError
            If the preset or a parameter does not exist, or a value is not allowed.
        """
        if isinstance(params, Params):
            if preset is not None:
                raise ValueError("Give a preset with a mapping of changes, or a whole Params, not both.")
            return params
        name = next(iter(self.presets)) if preset is None else preset
        if name not in self.presets:
            raise ValueError(
                f"{self.name} has no preset {name!r}; choose from: {', '.join(map(repr, self.presets))}."
            )
        return self.params.from_dict({**self.presets[name], **(params or {})})
