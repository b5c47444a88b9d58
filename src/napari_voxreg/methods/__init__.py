"""The registration methods, one file each."""

from ..method import Method
from . import affine, bspline, demons, elastix, ilk, rigid, similarity, translation, tvl1

METHODS: dict[str, Method] = {
    module.METHOD.name: module.METHOD
    for module in (elastix, translation, rigid, similarity, affine, bspline, demons, tvl1, ilk)
}
