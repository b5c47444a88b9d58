"""The registration methods, one file each."""

from ..method import Method
from . import affine, bspline, demons, diffeo, elastix, ilk, pose, rigid, similarity, translation, tvl1

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (elastix, pose, translation, rigid, similarity, affine, bspline, demons, diffeo, tvl1, ilk)
}
