"""The weights that come with the package."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parent


def shipped(stem: str, ndim: int) -> Path:
    """Where the package keeps weights of a kind of network, whether they are there or not."""
    return FOLDER / f"{stem}{ndim}d.safetensors"
