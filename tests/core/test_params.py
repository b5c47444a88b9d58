from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

from napari_voxreg.core.params import Params, param


@dataclass(frozen=True, kw_only=True)
class Example(Params):
    """One of each kind."""

    on: bool = param(True, "A switch.")
    count: int = param(3, "How many.", range=(1, 9))
    size: float = param(0.5, "How large.", range=(0, 1), advanced=True)
    kind: Literal["a", "b"] = param("a", "Which.")
    file: Path | None = param(None, "Where.")
    files: tuple[Path, ...] = param((), "Where else.")


def test_declarations_can_be_read():
    infos = {info.name: info for info in Example.infos()}
    assert infos["on"].kind is bool and infos["count"].kind is int and infos["size"].kind is float
    assert infos["kind"].choices == ("a", "b") and infos["file"].kind is Path and infos["files"].kind is tuple
    assert infos["count"].range == (1, 9) and infos["size"].advanced and not infos["on"].advanced


def test_values_are_brought_into_their_type():
    example = Example.from_dict({"count": 4.0, "size": 1, "files": ["x.txt", "y.txt"], "file": ""})
    assert example.count == 4 and isinstance(example.count, int)
    assert isinstance(example.size, float) and example.file is None
    assert example.files == (Path("x.txt"), Path("y.txt"))
    assert example.as_dict()["files"] == ["x.txt", "y.txt"]


def test_a_word_stands_for_zero_only_where_the_range_begins_there():
    assert param(0.0, "How far.", range=(0, 9), special="auto").metadata["special"] == "auto"
    for limits in (None, (1, 9), (-1, 1)):
        with pytest.raises(ValueError, match="'auto' stands for 0"):
            param(0.0, "How far.", range=limits, special="auto")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"count": 10}, "count cannot be 10; choose between 1 and 9"),
        ({"count": 2.5}, "whole number"),
        ({"size": "big"}, "size must be a number"),
        ({"size": float("nan")}, "size cannot be nan"),
        ({"kind": "c"}, "kind cannot be 'c'; choose from: a, b"),
        ({"on": 1}, "true or false"),
        ({"colour": 1}, "no parameter 'colour'; choose from: on, count"),
    ],
)
def test_bad_values_are_refused_with_the_remedy(values, message):
    with pytest.raises(ValueError, match=message):
        Example.from_dict(values)
