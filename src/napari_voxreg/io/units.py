"""Units of length as files spell them."""

from __future__ import annotations

# Pint's name, OME's word, other spellings. Capitals, plurals and British endings need no entry.
SPELLINGS: dict[str, tuple[str, ...]] = {
    "picometer": ("pm",),
    "angstrom": ("Å", "\u212b"),
    "nanometer": ("nm",),
    "micrometer": ("µm", "um", "micron", "µ"),
    "millimeter": ("mm",),
    "centimeter": ("cm",),
    "decimeter": ("dm",),
    "meter": ("m",),
    "kilometer": ("km",),
    "inch": ("in", "inche", '"'),
    "foot": ("ft", "feet"),
    "yard": ("yd",),
    "mile": ("mi",),
    "pixel": ("pixel", "px"),
}
BY_WORD = {word.lower(): name for name, words in SPELLINGS.items() for word in (name, *words)}


def length_named(word: str) -> str | None:
    """The unit that a file's word means, as pint names it; "pixel" for pixels, None for a word not known."""
    # ImageJ escapes the micro sign, and writes it as Greek mu or with a stray letter of UTF-8.
    plain = word.strip().replace("\\u00B5", "µ").replace("Â", "").replace("\u03bc", "µ").lower()
    plain = plain.replace("metre", "meter")
    return BY_WORD.get(plain) or BY_WORD.get(plain.removesuffix("s"))


def ome_word(unit: str) -> str | None:
    """The word for a unit in OME's list, None where that has none."""
    name = length_named(unit)
    return None if name is None else SPELLINGS[name][0]
