"""Of many pairs, each kind of note is said once."""

from __future__ import annotations

from pathlib import Path

from napari_voxreg.io.pairs import Pair, PairNotes


def pair(name: str) -> Pair:
    return Pair(name, Path(f"data/{name}-fixed.nii"), Path(f"data/{name}-moving.nii"))


def test_notes_that_differ_in_names_and_numbers_are_one_kind():
    notes = PairNotes()
    assert notes.sentences == []
    said = []
    for number, name in enumerate(("p1", "p2", "p3")):
        said += notes.add(pair(name), [f"{name}-fixed.nii lies {number}.5 mm beside the grid."])
    assert said == ["p1: p1-fixed.nii lies 0.5 mm beside the grid."]
    assert notes.sentences == [f"{said[0]} The same applies to 2 other pairs."]


def test_a_pair_counts_once_however_many_of_its_images_have_a_note():
    notes = PairNotes()
    notes.add(pair("a"), ["a-fixed.nii is a slice.", "a-moving.nii is a slice."])
    assert notes.sentences == ["a: a-fixed.nii is a slice."]


def test_each_kind_keeps_its_own_first_pair():
    notes = PairNotes()
    notes.add(pair("a"), ["a-fixed.nii has complex pixels."])
    assert notes.add(pair("b"), ["b-moving.nii has complex pixels.", "3 % have no data."]) == [
        "b: 3 % have no data."
    ]
    assert [sentence.split(":")[0] for sentence in notes.sentences] == ["a", "b"]
