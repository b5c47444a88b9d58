"""What the files of images say that a user should know."""

from __future__ import annotations

from collections.abc import Sequence

from ..core.geometry import Image


def reading_notes(images: Sequence[Image], masks: Sequence[Image | None]) -> tuple[str, ...]:
    """What the files of a pair and its masks say that a user should know, each sentence once.

    Parameters
    ----------
    images : sequence of Image
        Fixed and moving, as read.
    masks : sequence of Image or None
        Theirs, where there are any.
    """
    given = [*images, *(mask for mask in masks if mask is not None)]
    notes = [note for image in given for note in image.notes]
    known, unknown = sorted(images, key=lambda image: image.grid.crs is None)
    if known.grid.crs is not None and unknown.grid.crs is None:
        notes.append(
            f"{unknown.name} names no coordinate reference system; it is taken to be that of {known.name}, "
            f"{known.grid.crs}."
        )
    return tuple(dict.fromkeys(notes))
