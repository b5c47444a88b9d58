"""Panels that may need the child process of `core.process`; it ends with the last of them."""

from __future__ import annotations

from ...core import process

_panels: set[int] = set()


def hold(panel: int) -> None:
    """Keep the child process while this panel, given by its id, is open."""
    _panels.add(panel)


def release(panel: int) -> None:
    """Release a closed panel; after the last one the child process ends."""
    _panels.discard(panel)
    if not _panels:
        process.shutdown()
