"""Patient, side and date in a name, in any order."""

from __future__ import annotations

import re

DAY = r"(?:19|20)\d\d{0}(?:0[1-9]|1[0-2]){0}(?:0[1-9]|[12]\d|3[01])"
# A patient's number may look like 20190301, but not like 2019-03-01, which is searched for first.
DATES = tuple(re.compile(rf"(?<!\d){DAY.replace('{0}', between)}(?!\d)") for between in ("[-_.]", "[-_.]?"))
SIDES = {"od": "right", "re": "right", "r": "right", "os": "left", "le": "left", "l": "left", "ou": "both"}
SIDE = re.compile(rf"(?<![a-z])(?:right|left|{'|'.join(SIDES)})(?![a-z0-9])", re.IGNORECASE)


def parts_of(name: str) -> tuple[str, str, str]:
    """Patient, side and date as they are written in a name; empty where there is none.

    The patient is what remains up to the end of its first number: no two patients become one, and a number
    of the image at the end does not count. It is read only beside a date, since the numbers of other names
    count frames or slices.

    Parameters
    ----------
    name : str
        Without the ending of a file.
    """
    date = next(filter(None, (expression.search(name) for expression in DATES)), None)
    rest = [name] if date is None else [name[: date.start()], name[date.end() :]]
    side = ""
    for k, text in enumerate(rest):
        if found := SIDE.search(text):
            side = found[0]
            rest[k : k + 1] = [text[: found.start()], text[found.end() :]]
            break
    if date is None:
        return "", side, ""
    words = [text.strip("-_. ") for text in rest]
    numbered = next((k for k, text in enumerate(words) if re.search(r"\d", text)), len(words))
    return "_".join(filter(None, words[: numbered + 1])), side, date[0]


def side_of(text: str) -> str:
    """One word for a side however it is written, so that OD and right are the same eye."""
    text = text.casefold()
    return SIDES.get(text, text)
