"""The registration methods, one file each."""

from collections import ChainMap
from collections.abc import Mapping

from . import auto, by_hand, diffeo, landmarks, pose, translation
from .base import Method
from .elastix import method as elastix
from .flow import ilk, tvl1
from .flow import inverse_search as flow
from .networks import affinenet, avsm, jsm, pyramid, voxelmorph
from .simpleitk import affine, bspline, demons, rigid, similarity

# In the order of the panel: what does the whole work first, then linear, deformable, networks, optical flow.
_MODULES = (
    auto,
    elastix,
    pose,
    translation,
    rigid,
    similarity,
    affine,
    affinenet,
    diffeo,
    bspline,
    demons,
    pyramid,
    voxelmorph,
    avsm,
    jsm,
    flow,
    tvl1,
    ilk,
)

# A network for which no weights are shipped and nobody else writes them is no method.
METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD for module in _MODULES if module.METHOD.ndims or module.METHOD.own_ndims
}

# All that a result can be of: also what takes the initial transform as it is, and finds nothing itself.
KNOWN_METHODS: Mapping[str, Method] = ChainMap(
    {module.METHOD.name: module.METHOD for module in (by_hand, landmarks)}, METHODS
)


def method_for(architecture: str) -> str | None:
    """The name of the method that can use weights of a network; None if there is none."""
    for name, method in METHODS.items():
        if architecture in method.architectures:
            return name
    return None
