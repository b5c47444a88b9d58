"""zarr, which the extra `large` brings."""

from __future__ import annotations

from typing import Any


def the_zarr() -> Any:
    """The library zarr.

    Raises
    ------
    ValueError
        If it is not installed, or older than its version 3.
    """
    try:
        import zarr
    except ImportError as error:
        raise ValueError(
            'Images larger than memory need zarr; install it with pip install "napari-voxreg[large]".'
        ) from error
    if int(zarr.__version__.split(".")[0]) < 3:
        raise ValueError(f"zarr {zarr.__version__} is too old; install a newer one with pip install -U zarr.")
    return zarr
