"""The registration methods, one file each."""

from ..method import Method
from . import (
    affine,
    auto,
    bspline,
    demons,
    diffeo,
    elastix,
    flow,
    ilk,
    pose,
    rigid,
    similarity,
    translation,
    tvl1,
)

# In the order of the panel: what does the whole work first, then linear, deformable and optical flow.
_MODULES = (
    auto,
    elastix,
    pose,
    translation,
    rigid,
    similarity,
    affine,
    diffeo,
    bspline,
    demons,
    flow,
    tvl1,
    ilk,
)

METHODS: dict[str, Method] = {module.METHOD.name: module.METHOD for module in _MODULES}
