"""What a sample is, made or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module

from ..core.geometry import Image
from ..transforms import Transform


@dataclass(frozen=True, eq=False)
class Sample:
    """A pair of images that is ready to register, with the true transform.

    Parameters
    ----------
    name : str
        Key in `SAMPLES`.
    title, description : str
        For people; both say what is simulated.
    fixed, moving : Image
        The pair, each on its own grid, in the same units.
    truth : Transform
        From world points of the fixed image to world points of the moving image.
    labels_fixed, labels_moving : Image, optional
        The same anatomy in both images, integer labels on the images' grids; 0 is background.
    label_names : tuple of str
        What label 1, 2, ... means.
    """

    name: str
    title: str
    description: str
    fixed: Image
    moving: Image
    truth: Transform
    labels_fixed: Image | None = None
    labels_moving: Image | None = None
    label_names: tuple[str, ...] = ()


@dataclass(frozen=True)
class SampleInfo:
    """What is known of a sample without making it.

    Parameters
    ----------
    name : str
        Key in `SAMPLES`.
    title : str
        A few words for a menu.
    description : str
        One or two sentences.
    ndim : int
        2 or 3.
    """

    name: str
    title: str
    description: str
    ndim: int = 2

    def make(self, seed: int = 0) -> Sample:
        """Make the pair; the same seed gives the same pixels."""
        maker: Callable[[SampleInfo, int], Sample] = import_module(f".{self.name}", __package__).make
        return maker(self, seed)
