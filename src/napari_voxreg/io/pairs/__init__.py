"""Pairs of images to train on and to evaluate: where they come from, and how they are read.

`open_pairs` finds the pairs, `read_pair` reads one, `content_hash` is its fingerprint for records, `pack`
writes a set into one file. `docs/pairs.md` lists the possible sources.
"""

from .names import Pairing, list_images, read_names
from .notes import PairNotes
from .opening import open_pairs
from .packing import pack
from .reading import LoadedPair, content_hash, read_pair
from .splitting import FRACTION
from .values import ROLES, NameParts, Pair, PairSet, Source, Stored, name_of_source

__all__ = [
    "FRACTION",
    "ROLES",
    "LoadedPair",
    "NameParts",
    "Pair",
    "PairNotes",
    "PairSet",
    "Pairing",
    "Source",
    "Stored",
    "content_hash",
    "list_images",
    "name_of_source",
    "open_pairs",
    "pack",
    "read_names",
    "read_pair",
]
