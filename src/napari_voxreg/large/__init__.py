"""Images larger than memory: opened, warped and registered piece by piece."""

from .image import LargeImage
from .opening import open_large
from .warp import apply_large

__all__ = ["LargeImage", "apply_large", "open_large"]
