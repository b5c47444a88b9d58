"""Pairs of images to train on and to evaluate: where they come from, and how they are read.

`open_pairs` finds the pairs, `read_pair` reads one, `content_hash` is its fingerprint for records, `pack`
writes a set into one file. `docs/pairs.md` lists the possible sources.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

from ...core.disk import check_utf8
from ...core.geometry import Image
from ..guards import exists, user_path
from ..images import MEDICAL, PLAIN, TIFF, ending_of
from .hdf5 import ENDINGS, from_file
from .lists import LISTS, from_folders, from_lists, from_table, read_lines, with_patients
from .names import Pairing, list_images, natural_key, pair_up
from .reading import check_one_kind
from .splitting import split_pairs
from .values import (
    ROLES,
    Found,
    Pair,
    PairSet,
    Stored,
    identity,
    numbered,
    plural,
)


def open_pairs(
    source: Path | str | Sequence[Image] | Sequence[Pair],
    moving: Path | str | None = None,
    *,
    pattern: str | None = None,
    pairing: Pairing | None = None,
    template: Path | str | Image | None = None,
    validation: float | Path | str | Sequence[str] | None = None,
    seed: int = 0,
) -> PairSet:
    """Find pairs and split them into training and validation; no pixel is read.

    Parameters
    ----------
    source : path, sequence of Image or sequence of Pair
        A folder of fixed images (with `moving`); a folder with the subfolders fixed and moving; a folder with
        path lists (train_fixed.txt, ...); a folder of images; a CSV; an HDF5 file; images in memory, such as
        the layers of the viewer; or pairs made by hand.
    moving : path, optional
        The folder of moving images.
    pattern : str, optional
        A regular expression for file names. Between two folders, its groups determine which images
        belong together. Elsewhere its named groups ``id``, ``laterality`` and ``date`` are read (see
        `read_names`); in one folder it keeps all other images out. A group ``id`` keeps each patient on one
        side of the split.
    pairing : {"consecutive", "all", "template"}, optional
        How images of one folder, or in memory, are paired (see `pair_up`): "template" if there is one, else
        "consecutive".
    template : path or Image, optional
        The fixed image of all pairs; a bare name is searched for in the folder, or among the images' names.
    validation : float, path or sequence of str, optional
        Fraction of the pairs, or names of pairs, images or patients, or a text file with one a line. The
        source's own split if it has one, else a fifth.
    seed : int
        For the fraction: same seed, same split.

    Returns
    -------
    PairSet
        With notes on everything that was skipped.

    Raises
    ------
    ValueError
        If the source is not known, holds no pair, mixes 2D and 3D, or contradicts itself.
    """
    if isinstance(source, str | Path):
        found = _from_path(user_path(source).absolute(), moving, pattern, pairing, template)
    else:
        found = _from_memory(source, pattern, pairing, template)
    found = _without_twins(found)
    for pair in found.pairs:
        for source in (getattr(pair, role) for role in ROLES):
            if isinstance(source, Path | Stored):
                check_utf8(source if isinstance(source, Path) else source.file)
    check_one_kind(found.pairs)
    if isinstance(validation, str | Path):
        validation = read_lines(user_path(validation))
    return split_pairs(replace(found, pairs=tuple(numbered(found.pairs))), validation, seed)


def _from_path(
    path: Path,
    moving: Path | str | None,
    pattern: str | None,
    pairing: Pairing | None,
    template: Path | str | Image | None,
) -> Found:
    """The pairs of a source on disk."""
    if not exists(path):
        raise ValueError(f"There is no file or folder {path}; check the path.")
    lists = path.is_dir() and any((path / name).is_file() for two in LISTS.values() for name in two)
    folders = path.is_dir() and (path / "fixed").is_dir() and (path / "moving").is_dir()
    single = path.is_dir() and moving is None and not lists and not folders
    if (pairing or template is not None) and not single:
        raise ValueError(f"{path.name} defines the pairs itself; omit pairing and template.")
    if moving is not None:
        other = user_path(moving).absolute()
        return _matched(path, other, pattern)
    if folders and not lists:
        return _matched(path / "fixed", path / "moving", pattern)
    if single:
        images = list_images(path)
        if isinstance(template, str | Path):
            inside = path / template
            template = inside if inside.exists() else user_path(template).absolute()
        return pair_up(images, pairing, pattern, template)
    if lists:
        found = from_lists(path)
    elif path.suffix.lower() == ".csv":
        found = from_table(path)
    elif path.suffix.lower() in ENDINGS:
        found = from_file(path)
    else:
        kind = "one image" if ending_of(path) in MEDICAL + PLAIN + TIFF else "no source of pairs"
        raise ValueError(f"{path.name} is {kind}; give a folder, a CSV or an HDF5 file (.h5, .hdf5).")
    return with_patients(found, pattern) if pattern else found


def _matched(fixed: Path, moving: Path, pattern: str | None) -> Found:
    """Two folders, with the patients if the pattern names them."""
    found = from_folders(fixed, moving, pattern)
    return with_patients(found, pattern) if pattern and "?P<id>" in pattern else found


def _from_memory(
    source: Sequence[Image] | Sequence[Pair],
    pattern: str | None,
    pairing: Pairing | None,
    template: Path | str | Image | None,
) -> Found:
    """Pairs made by hand, or images in memory."""
    pairs = tuple(item for item in source if isinstance(item, Pair))
    if pairs:
        return with_patients(Found(pairs), pattern) if pattern else Found(pairs)
    images = [item for item in source if isinstance(item, Image)]
    if isinstance(template, str):
        named = [image for image in images if image.name == template]
        if not named:
            raise ValueError(f"No image is called {template!r}; choose one of those that are open.")
        template = named[0]
    images.sort(key=lambda image: natural_key(image.name))
    return pair_up(images, pairing, pattern, template)


def _without_twins(found: Found) -> Found:
    """Without pairs of an image with itself, from which nothing can be learnt."""
    same_as = cache(identity)
    keep = [same_as(pair.fixed) != same_as(pair.moving) for pair in found.pairs]
    if not any(keep):
        if not found.pairs:
            raise ValueError("The source holds no pairs; add some.")
        raise ValueError("Fixed and moving are the same file in every pair; give each pair two images.")
    if all(keep):
        return found
    first = found.pairs[keep.index(False)].name
    left = plural(keep.count(False), "pair")
    note = f"{left} skipped: fixed and moving are the same image (first: {first})."
    return replace(
        found,
        pairs=tuple(pair for pair, good in zip(found.pairs, keep, strict=True) if good),
        sets=tuple(where for where, good in zip(found.sets, keep, strict=False) if good),
        notes=(*found.notes, note),
    )
