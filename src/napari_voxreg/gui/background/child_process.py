"""Which panels may need the child process of `core.process`; the last one that goes ends it."""

from __future__ import annotations

from ...core import process

_panels: set[int] = set()


def hold(panel: int) -> None:
    """Keep the child process as long as this panel, known by its id, is open."""
    _panels.add(panel)


def release(panel: int) -> None:
    """A panel is gone: without any, no child process is left behind."""
    _panels.discard(panel)
    if not _panels:
        process.shutdown()
