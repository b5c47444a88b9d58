"""Images larger than memory: opened, warped and registered piece by piece."""

from .image import LargeImage
from .lazy import warp_lazily
from .opening import open_large
from .register import register_large
from .warp import apply_large, check_writable

__all__ = ["LargeImage", "apply_large", "check_writable", "open_large", "register_large", "warp_lazily"]
