"""What `register_cohort` can be told, declared once for Python, the command line and the panel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from ...core.params import Params, param

TemplateKind = Literal["group", "best", "mean of the best", "all pairs", "image"]
Linear = Literal["pose", "affine", "rigid", "none"]
Deform = Literal["diffeo", "elastix", "none"]
MADE: tuple[TemplateKind, ...] = ("group", "mean of the best")  # templates that are made from images


@dataclass(frozen=True, kw_only=True)
class CohortOptions(Params):
    """How the images of a cohort are brought onto one template."""

    template: TemplateKind = param(
        "group",
        "What all images are aligned to: an unbiased mean that is made from all of them; the image that "
        "resembles the others most; the mean of a few such images; or one image. All pairs: no template, "
        "each image is registered with each other one, and all are brought into agreement.",
    )
    image: int = param(0, "Number of the image that is the template, from 0.", range=(0, 10**6))
    best: int = param(5, "How many images the mean of the best is made of.", range=(2, 1000), advanced=True)
    neighbours: int = param(
        0,
        "Of all pairs, how many of the images next to it in the list each image is registered with.",
        range=(0, 1000),
        special="all",
        advanced=True,
    )
    linear: Linear = param("pose", "How images are brought into place before they are deformed.")
    deform: Deform = param(
        "diffeo",
        "How images are deformed onto the template: each by diffeo; or, of a group or the mean of the best, "
        "all together by elastix.",
    )
    rounds: int = param(
        3,
        "How often the mean of a group is made anew from the images that diffeo has deformed.",
        range=(1, 20),
        advanced=True,
    )

    def matters(self, name: str) -> bool:
        """Whether an option changes anything, the others being as they are."""
        where = {
            "image": self.template == "image",
            "best": self.template == "mean of the best",
            "neighbours": self.template == "all pairs",
            "rounds": self.template in MADE and self.deform == "diffeo",
        }
        return where.get(name, True)
