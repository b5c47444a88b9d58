"""What the pose search gives back."""

from __future__ import annotations

from dataclasses import dataclass

from ..transforms import Transform


@dataclass(frozen=True, eq=False)
class Pose:
    """The pose of the moving image on the fixed one, and how reliable it is.

    Parameters
    ----------
    transform : Transform
        From world points of the fixed image to world points of the moving image. The identity (the current
        pose) where nothing reliable, or nothing clearly better than the current pose, was found.
    confidence : float
        0 to 1, that `transform` is right.
    reliable : bool
        Whether to use it. The current pose is reliable too where the images agree in it.
    notes : tuple of str
        Sentences for the user: a mirror image, several equally good poses, a small overlap.
    trace : tuple of float
        The best similarity after each stage of the search.
    device : str
        Where it was computed in the end.
    edges : bool
        Whether it rests on edges; else on mutual information alone.
    """

    transform: Transform
    confidence: float
    reliable: bool
    notes: tuple[str, ...] = ()
    trace: tuple[float, ...] = ()
    device: str = "cpu"
    edges: bool = True
