"""Every source of pairs gives the pairs that belong together, or says in one sentence what is wrong."""

from __future__ import annotations

import pickle
from itertools import pairwise, permutations
from pathlib import Path

import numpy as np
import pytest

from napari_voxreg import Grid, Image
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet, open_pairs, read_names

RNG = np.random.default_rng(0)
VISITS = [f"{who}_{eye}_{day}" for who in ("P001", "P002", "P010") for eye in ("OD", "OS") for day in (
    "2019-03-01", "2020-11-30", "2021-01-02")]  # fmt: skip


def picture(path: Path, shape: tuple[int, ...] = (6, 7)) -> Path:
    """A small image with pixels of its own."""
    dtype = np.uint8 if path.suffix == ".png" else np.float32
    data = RNG.integers(0, 255, shape).astype(dtype)
    return write_image(Image(data, Grid.from_spacing(shape)), path)


def folder(path: Path, *names: str) -> Path:
    for name in names:
        picture(path / name)
    return path


def stems(pairs: tuple[Pair, ...]) -> set[tuple[str, str]]:
    return {(pair.fixed.stem, pair.moving.stem) for pair in pairs}  # type: ignore[union-attr]


def images(pairs: tuple[Pair, ...]) -> set[object]:
    return {source for pair in pairs for source in (pair.fixed, pair.moving)}


def refused(source: object, *words: str, **options: object) -> None:
    """One sentence that names what is wrong."""
    with pytest.raises(ValueError) as caught:
        open_pairs(source, **options)  # type: ignore[arg-type]
    sentence = str(caught.value)
    assert "\n" not in sentence and sentence.endswith(".")
    for word in words:
        assert word in sentence


def test_two_folders_are_matched_in_natural_order(tmp_path: Path) -> None:
    fixed = folder(tmp_path / "a", *(f"scan{k}.png" for k in (1, 2, 10)))
    moving = folder(tmp_path / "b", *(f"later{k}.mha" for k in (10, 1, 2)))
    (fixed / "notes.txt").write_text("no image")
    found = open_pairs(fixed, moving)
    assert stems(found.all) == {("scan1", "later1"), ("scan2", "later2"), ("scan10", "later10")}
    assert found.notes == ()
    assert open_pairs(_renamed(tmp_path, fixed, moving)).all[0].fixed.parent.name == "fixed"  # type: ignore[union-attr]


def _renamed(parent: Path, fixed: Path, moving: Path) -> Path:
    fixed.rename(parent / "fixed")
    moving.rename(parent / "moving")
    return parent


def test_folders_whose_numbers_differ_are_matched_with_a_warning(tmp_path: Path) -> None:
    found = open_pairs(folder(tmp_path / "a", "1.png", "2.png"), folder(tmp_path / "b", "1.png", "3.png"))
    assert any("2.png with 3.png" in note for note in found.notes)


def test_two_folders_are_matched_by_a_pattern(tmp_path: Path) -> None:
    fixed = folder(tmp_path / "a", "day1_P7.png", "day2_P8.png", "day1_P9.png")
    moving = folder(tmp_path / "b", "P8_x.png", "P7_y.png", "P4_z.png")
    found = open_pairs(fixed, moving, pattern=r"p(?P<id>\d+)")
    assert stems(found.all) == {("day1_P7", "P7_y"), ("day2_P8", "P8_x")}
    assert {pair.fixed_patient for pair in found.all} == {"7", "8"}
    assert any("1 image in a, 1 in b" in note for note in found.notes)
    refused(fixed, "day1_P7.png", "day1_P9.png", moving=moving, pattern="(day.)")
    refused(fixed, "belongs", moving=moving, pattern="(..png)")
    refused(fixed, "regular expression", moving=moving, pattern="(")


def test_unequal_empty_and_missing_folders_are_refused(tmp_path: Path) -> None:
    fixed = folder(tmp_path / "a", "1.png", "2.png", "3.png")
    moving = folder(tmp_path / "b", "1.png")
    (tmp_path / "none").mkdir()
    refused(fixed, "3 images", "holds 1", moving=moving)
    refused(tmp_path / "none", "none holds no images")
    refused(fixed, "none holds no images", moving=tmp_path / "none")
    refused(fixed, "no folder", moving=tmp_path / "away")
    refused(tmp_path / "away", "away")
    refused(fixed / "1.png", "1.png is one image")
    refused(fixed, "pairing", moving=moving, pairing="all")


def lists(path: Path, **texts: str) -> Path:
    path.mkdir(exist_ok=True)
    for name, text in texts.items():
        (path / f"{name}.txt").write_text(text)
    return path


def test_path_lists_keep_their_split(tmp_path: Path) -> None:
    folder(tmp_path / "p", *(f"{k}.png" for k in range(8)))
    held = f"p/6.png\n{tmp_path / 'p' / '4.png'}\n"
    source = lists(
        tmp_path, train_fixed="p/0.png\np/1.png\n\n", train_moving="p/2.png\r\np/3.png", val_fixed=held,
        val_moving="p/7.png\np/5.png\n",
    )  # fmt: skip
    found = open_pairs(source)
    assert stems(found.training) == {("0", "2"), ("1", "3")}
    assert stems(found.validation) == {("6", "7"), ("4", "5")}
    assert found.notes == ()
    assert all(pair.fixed.is_absolute() for pair in found.all)  # type: ignore[union-attr]


def test_training_pairs_that_share_an_image_with_validation_are_dropped_and_counted(tmp_path: Path) -> None:
    folder(tmp_path, *(f"{k}.png" for k in range(5)))
    source = lists(
        tmp_path,
        train_fixed="0.png\n1.png",
        train_moving="2.png\n3.png",
        val_fixed="4.png",
        val_moving="3.png",
    )
    found = open_pairs(source)
    assert stems(found.training) == {("0", "2")} and stems(found.validation) == {("4", "3")}
    assert any("1 pair skipped" in note for note in found.notes)
    lists(tmp_path, train_fixed="1.png", train_moving="3.png")
    refused(source, "No pair is left for training")


def test_lists_of_unequal_length_missing_lists_and_missing_files_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, "0.png", "1.png", "2.png")
    refused(lists(tmp_path, train_fixed="0.png\n1.png"), "train_moving.txt")
    refused(lists(tmp_path, train_moving="2.png"), "2 images", "names 1", "train_fixed.txt")
    refused(lists(tmp_path, train_moving="2.png\n9.png"), "train_moving.txt, line 2", "9.png")
    refused(lists(tmp_path, train_moving="0.png\n1.png"), "same file in every pair")


def test_an_image_paired_with_itself_is_left_out(tmp_path: Path) -> None:
    folder(tmp_path, "0.png", "1.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "1.png")
    found = open_pairs(lists(tmp_path, train_fixed="0.png\n1.png", train_moving="1.png\nlink.png"))
    assert stems(found.training) == {("0", "1")}
    assert any("1 pair skipped" in note and "link" in note for note in found.notes)


def test_one_pair_is_trained_on_and_judged_on_with_a_note(tmp_path: Path) -> None:
    found = open_pairs(folder(tmp_path / "a", "1.png"), folder(tmp_path / "b", "1.png"))
    assert found.training == found.validation == found.all
    assert len(found.all) == 1
    assert any("same pairs" in note for note in found.notes)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_a_table_gives_all_members(tmp_path: Path, delimiter: str) -> None:
    folder(tmp_path, *(f"{k}.png" for k in range(6)))
    (tmp_path / "p.csv").write_text("1,2\n3,4\n")
    rows = [
        (
            "Fixed",
            "moving",
            "fixed_mask",
            "moving_labels",
            "fixed_landmarks",
            "moving_landmarks",
            "Set",
            "site",
        ),
        ("0.png", "1.png", "2.png", "", "p.csv", "p.csv", "train", "A"),
        ("3.png", "4.png", "", "5.png", "", "", "val", "B"),
    ]
    table = tmp_path / "pairs.csv"
    table.write_text("\ufeff" + "\n".join(delimiter.join(row) for row in rows) + "\n\n", encoding="utf-8")
    found = open_pairs(table)
    (train,), (held,) = found.training, found.validation
    assert train.fixed_mask == tmp_path / "2.png" and train.moving_labels is None
    assert train.moving_landmarks == tmp_path / "p.csv"
    assert held.moving_labels == tmp_path / "5.png" and held.fixed_mask is None
    assert found.notes == ("pairs.csv has columns that mean nothing here: site.",)


def test_tables_with_gaps_are_refused(tmp_path: Path) -> None:
    folder(tmp_path, "0.png", "1.png")
    table = tmp_path / "pairs.csv"
    for text, word in (
        ("fixed\n0.png\n", "moving"),
        ("", "fixed and moving"),
        ("fixed,moving\n", "fixed and moving"),
        ("fixed,moving\n0.png,\n", "row 2"),
        ("fixed,moving\n0.png,1.png\n0.png,8.png\n", "row 3"),
        ("fixed,moving,split\n0.png,1.png,perhaps\n", "perhaps"),
    ):
        table.write_text(text)
        refused(table, "pairs.csv", word)
    table.write_bytes(b"\xff\xfe\x00fixed")
    refused(table, "pairs.csv")


def test_names_are_read_as_the_preview_shows() -> None:
    names = [
        Path(n) for n in ("P001_OD_2019-03-01.png", "17-left-20190301.tif", "sub-04_2019.03.01.nii", "x.png")
    ]
    parts = read_names(names)
    assert [(p.read, p.patient, p.laterality, p.date) for p in parts] == [
        (True, "P001", "OD", "2019-03-01"),
        (True, "17", "LEFT", "20190301"),
        (True, "sub-04", "", "2019.03.01"),
        (False, "", "", ""),
    ]
    (part,) = read_names([Path("2019-e7.png")], r"(?P<date>\d+)-(?P<id>\w+)\.")
    assert (part.patient, part.date) == ("e7", "2019")


@pytest.mark.parametrize("date", ["2014-01-02", "20140102", "2014_01_02", "2014.01.02"])
@pytest.mark.parametrize("side", ["L", "r", "OD", "os", "Left", "right"])
def test_patient_side_and_date_are_read_in_any_order(side: str, date: str) -> None:
    for patient in ("156518", "P001", "sub-04", "smith", "20191231"):
        for order in permutations((patient, side, date)):
            (parts,) = read_names([Path("_".join(order) + ".png")])
            if patient == "20191231" and "-" not in date:
                continue  # two dates
            assert (parts.patient, parts.laterality, parts.date) == (patient, side.upper(), date), order
    for name in (f"156518{side}_{date}.png", f"{date}-{side}-156518_001.tif", f"156518_{date}{side}.png"):
        assert read_names([Path(name)])[0].laterality == side.upper()


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
def test_left_eyes_are_never_paired_with_right_ones(tmp_path: Path, order: tuple[int, ...]) -> None:
    eyes = [
        (patient, side, date)
        for patient in ("156518", "123456")
        for side in ("L", "R", "OD")
        for date in ("2014-01-02", "2015-02-03")
        if (side, date) != ("R", "2015-02-03") and (side, date) != ("OD", "2014-01-02")
    ]
    source = folder(tmp_path, *("_".join(eye[k] for k in order) + ".png" for eye in eyes))
    found = open_pairs(source, validation=0)
    assert len(found.all) == 4 and found.notes == ()
    for one, other in stems(found.all):
        assert ("L" in one.split("_")) == ("L" in other.split("_"))
        assert ("156518" in one) == ("156518" in other) and "2014-01-02" in one


def test_names_without_dates_keep_the_sides_apart(tmp_path: Path) -> None:
    source = folder(tmp_path, *(f"{k}_{side}.png" for k in (1, 2, 3) for side in "LR"))
    assert stems(open_pairs(source, validation=0).all) == {
        (f"{k}_{side}", f"{k + 1}_{side}") for k in (1, 2) for side in "LR"
    }


def test_what_a_pattern_leaves_unread_is_said(tmp_path: Path) -> None:
    source = folder(
        tmp_path, *(f"17_{day}_{side}.png" for day in ("2014-01-02", "2015-01-02") for side in "LR")
    )
    for pattern, word in (
        (r"(?P<id>17)_(?P<date>[-\d]+)", "No side was read in the names of 4 images"),
        (r"(?P<id>17)_(?P<date>[-\d]+)_(?P<laterality>L)?", "No side was read in the names of 2 images"),
        (r"(?P<date>2\d{3}-[-\d]+)_(?P<laterality>[LR])", "No patient was read"),
        (r"(?P<id>17)_.*_(?P<laterality>[LR])", "No date was read"),
    ):
        assert any(word in note for note in open_pairs(source, pattern=pattern, validation=0).notes), pattern
    whole = r"(?P<id>17)_(?P<date>[-\d]+)_(?P<laterality>[LR])"
    assert open_pairs(source, pattern=whole, validation=0).notes == ()
    picture(source / "17_2016-01-02.png")
    assert any("No side" in note and "2016" in note for note in open_pairs(source, validation=0).notes)


def test_a_pattern_keeps_others_out_with_a_template_too(tmp_path: Path) -> None:
    source = folder(
        tmp_path, *(f"{k}_2014-01-0{day}_{side}.png" for k in (1, 2) for day in (1, 2) for side in "LR")
    )
    template = "1_2014-01-01_L.png"
    found = open_pairs(source, template=template, pattern="^(?P<id>1)_.*_(?P<laterality>L)", validation=0)
    assert stems(found.all) == {("1_2014-01-01_L", "1_2014-01-02_L")}
    assert len(found.notes) == 1 and "6 images" in found.notes[0]
    found = open_pairs(source, pairing="all", pattern="^(?P<id>1)_.*_(?P<laterality>L)", validation=0)
    assert len(found.all) == 1
    found = open_pairs(source, template=template, validation=0)
    assert len(found.all) == 7 and any("4 images" in note and "another side" in note for note in found.notes)


def test_two_folders_of_different_eyes_are_noticed(tmp_path: Path) -> None:
    one, other = folder(tmp_path / "a", "1_L.png", "2_L.png"), folder(tmp_path / "b", "1_L.png", "2_R.png")
    assert any("2_L.png is paired with 2_R.png" in note for note in open_pairs(one, other).notes)


def test_visits_are_paired_with_the_next_of_the_same_eye(tmp_path: Path) -> None:
    source = folder(tmp_path, *(f"{name}.png" for name in VISITS), "overview.png", "P011_OD_2020-01-01.png")
    found = open_pairs(source)
    wanted = {(a, b) for a, b in pairwise(VISITS) if a[:7] == b[:7]}
    assert stems(found.all) == wanted and len(wanted) == 12
    sides = [{pair.fixed_patient for pair in side} for side in (found.training, found.validation)]
    assert sides[0] | sides[1] == {"P001", "P002", "P010"} and not sides[0] & sides[1] and sides[1]
    assert any("overview.png" in note for note in found.notes)
    assert any("1 image had no second visit" in note for note in found.notes)
    assert len(found.names) == 20
    refused(source, "found in none of 20 names", pattern="(?P<id>rat)")


def test_images_without_dates_follow_each_other_by_name(tmp_path: Path) -> None:
    source = folder(tmp_path, *(f"frame{k}.png" for k in (1, 2, 9, 10)))
    found = open_pairs(source, validation=0)
    assert stems(found.training) == {("frame1", "frame2"), ("frame2", "frame9"), ("frame9", "frame10")}
    assert any("by name" in note for note in found.notes)


def test_all_to_all_takes_every_two_images_once_and_splits_images(tmp_path: Path) -> None:
    source = folder(tmp_path, *(f"{k}.png" for k in range(10)))
    everything = open_pairs(source, pairing="all", validation=0)
    assert len(everything.training) == 45 and everything.validation == ()
    found = open_pairs(source, pairing="all")
    assert len(images(found.validation)) == 2 and len(images(found.training)) == 8
    assert len(found.training) == 28 and len(found.validation) == 1
    assert any("16 pairs skipped" in note for note in found.notes)


def test_a_template_is_on_both_sides_and_nothing_else_is(tmp_path: Path) -> None:
    source = folder(tmp_path / "in", *(f"{k}.png" for k in range(10)))
    outside = picture(tmp_path / "atlas.png")
    for template, count in (("3.png", 9), (outside, 10)):
        found = open_pairs(source, template=template)
        assert len(found.all) == count and len(found.validation) == 2
        assert {pair.fixed.name for pair in found.all} == {Path(template).name}  # type: ignore[union-attr]
        assert not {p.moving for p in found.training} & {p.moving for p in found.validation}
        assert found.notes == ()
    refused(source, "away.png", template="away.png")
    refused(source, "needs one", pairing="template")
    refused(source, "no template", pairing="all", template="3.png")
    refused(source, "everything", pairing="everything")


def test_two_and_three_dimensions_are_not_mixed(tmp_path: Path) -> None:
    plane = picture(tmp_path / "1.png")
    for name, shape in (("2.nii.gz", (4, 5, 6)), ("2.tif", (4, 5, 6)), ("2.mha", (4, 5, 6))):
        solid = picture(tmp_path / name, shape)
        refused(tmp_path, "1.png is 2D", f"{name} is 3D")
        solid.unlink()
    picture(tmp_path / "2.mha", (1, 6, 7))  # a plane as a volume
    assert len(open_pairs(tmp_path).all) == 1
    for name in ("2.mha", "1.png"):
        (tmp_path / name).unlink()
    for name in ("a.tif", "b.mha"):
        picture(tmp_path / name, (4, 5, 6))
    assert len(open_pairs(tmp_path).all) == 1
    assert plane.name == "1.png"


def test_layers_of_the_viewer_are_a_source() -> None:
    layers = [Image(RNG.random((6, 7)), Grid.from_spacing((6, 7)), f"visit {k}") for k in (10, 2, 1)]
    found = open_pairs(layers, validation=0)
    assert [pair.name for pair in found.training] == ["visit 2 to visit 1", "visit 10 to visit 2"]
    assert found.training[0].fixed is layers[2]
    onto = open_pairs(layers, template="visit 10", validation=0)
    assert {pair.fixed for pair in onto.training} == {layers[0]} and len(onto.training) == 2
    refused(layers, "visit 3", template="visit 3")
    refused(layers[:1], "1 image")
    refused([], "0 images")
    refused([layers[0], Image(np.zeros((4, 5, 6)), Grid.from_spacing((4, 5, 6)), "head")], "head is 3D")


def test_pairs_made_by_hand_are_split_and_named_apart(tmp_path: Path) -> None:
    folder(tmp_path / "a", "1.png", "2.png", "3.png")
    folder(tmp_path / "b", "1.png", "2.png", "3.png")
    names = ("p", "p", "p (2)")
    made = [
        Pair(name, tmp_path / "a" / f"{k}.png", tmp_path / "b" / f"{k}.png")
        for k, name in enumerate(names, start=1)
    ]
    found = open_pairs(made)
    assert {pair.name for pair in found.all} == {"p", "p (3)", "p (2)"}
    assert (len(found.training), len(found.validation)) == (2, 1)


def test_pairs_travel_to_other_processes_cheaply(tmp_path: Path) -> None:
    found = open_pairs(folder(tmp_path, *(f"{name}.png" for name in VISITS)))
    packed = pickle.dumps(found)
    again: PairSet = pickle.loads(packed)
    assert stems(again.training) == stems(found.training)
    assert len(packed) / len(found.all) < 1000
