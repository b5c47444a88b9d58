"""Pairs come back from one HDF5 file as they went in; stacks of images are pairs too."""

from __future__ import annotations

import pickle
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_voxreg import Grid, Image
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet, Stored, content_hash, open_pairs, pack, read_pair

SHAPE = (6, 8)
GRID = Grid.from_spacing(SHAPE, (2.0, 3.0), (5.0, -1.0), units="millimeter")
RNG = np.random.default_rng(0)


def random_image(name: str = "", *channels: int) -> Image:
    return Image(RNG.integers(0, 255, (*SHAPE, *channels)).astype(np.uint8), GRID, name)


@pytest.fixture
def pairs(tmp_path: Path) -> PairSet:
    """Five images, one of them coloured and one in memory, all members on one pair."""
    paths = [write_image(random_image(), tmp_path / f"{k}.mha") for k in range(4)]
    write_image(random_image("", 3), tmp_path / "3.mha")
    points = RNG.random((4, 2))
    np.savetxt(tmp_path / "p.csv", points, delimiter=",")
    np.save(tmp_path / "u.npy", RNG.normal(size=(2, *SHAPE)).astype(np.float32))
    full = Pair(
        "full",
        *paths[:2],
        fixed_mask=paths[1],
        moving_labels=paths[2],
        fixed_landmarks=tmp_path / "p.csv",
        moving_landmarks=points,
        displacement=tmp_path / "u.npy",
        fixed_patient="A",
        moving_patient="B",
    )
    twin = Pair("ünlike", paths[1], paths[2], displacement=tmp_path / "u.npy")
    return PairSet((full, twin), (Pair("held", paths[3], random_image("layer")),))


def same(one: Pair, other: Pair) -> None:
    first, second = read_pair(one), read_pair(other)
    for field in type(first).__dataclass_fields__:
        a, b = getattr(first, field), getattr(second, field)
        if isinstance(a, Image):
            np.testing.assert_array_equal(a.data, b.data)
            assert a.data.dtype == b.data.dtype and a.grid.same_as(b.grid) and a.name == b.name
        else:
            np.testing.assert_array_equal(a, b)


def test_a_packed_set_is_the_set(pairs: PairSet, tmp_path: Path) -> None:
    said: list[float | None] = []
    file = pack(pairs, tmp_path / "new" / "set.h5", lambda fraction, *_: said.append(fraction))
    again = open_pairs(file)
    assert [p.name for p in again.training] == ["full", "ünlike"]
    assert [p.name for p in again.validation] == ["held"]
    assert (again.training[0].fixed_patient, again.training[0].moving_patient) == ("A", "B")
    for one, other in zip(pairs.all, again.all, strict=True):
        same(one, other)
        assert content_hash(one) == content_hash(other)
        assert pickle.loads(pickle.dumps(other)).fixed == other.fixed
    assert said == [0, 1 / 3, 2 / 3]
    same(pairs.all[0], open_pairs(pack(again, tmp_path / "twice.h5")).all[0])
    file.rename(tmp_path / "moved.hdf5")
    same(pairs.all[0], open_pairs(tmp_path / "moved.hdf5").all[0])


def test_the_layout_is_the_one_in_the_docs(pairs: PairSet, tmp_path: Path) -> None:
    with h5py.File(pack(pairs, tmp_path / "set.h5")) as file:
        assert file.attrs["format"] == "napari-voxreg pairs" and file.attrs["version"] == 1
        assert len(file["images"]) == 5  # each once
        table = file["pairs"]
        assert list(table["set"].asstr()) == ["train", "train", "val"]
        place = table["moving"].asstr()[0]
        assert place == table["fixed_mask"].asstr()[0] == table["fixed"].asstr()[1]
        np.testing.assert_allclose(file[place].attrs["affine"], GRID.affine)
        assert list(file[place].attrs["units"]) == ["millimeter", "millimeter"]
        assert table["displacement"].asstr()[2] == ""
        assert file[table["displacement"].asstr()[0]].shape == (2, *SHAPE)


def test_a_failed_pack_leaves_what_was_there(pairs: PairSet, tmp_path: Path) -> None:
    target = tmp_path / "out" / "set.h5"
    pack(pairs, target)
    before = target.read_bytes()
    (tmp_path / "3.mha").write_bytes(b"cut")
    with pytest.raises(ValueError, match=r"3\.mha"):
        pack(pairs, target)
    assert target.read_bytes() == before and [p.name for p in target.parent.iterdir()] == ["set.h5"]
    with pytest.raises(ValueError, match=r"set\.zip"):
        pack(pairs, tmp_path / "set.zip")


FULL = """
import resource, sys
import numpy as np
from napari_voxreg import Grid, Image
from napari_voxreg.io.pairs import open_pairs, pack
rng = np.random.default_rng(0)
layers = [Image(rng.random((64, 64)), Grid.from_spacing((64, 64)), f"{k}") for k in range(9)]
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
try:
    pack(open_pairs(layers), sys.argv[1])
except OSError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files have no limit there")
@pytest.mark.parametrize("size", [100, 40_000, 100_000, 270_000])
def test_a_full_disk_is_an_error_and_not_the_end_of_the_process(tmp_path: Path, size: int) -> None:
    (tmp_path / "full.h5").write_text("as before")
    words = [sys.executable, "-c", FULL, str(tmp_path / "full.h5"), str(size)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"The disk of {tmp_path} is full; free some space there, and start again.\n"
    assert [path.read_text() for path in tmp_path.iterdir()] == ["as before"]


def test_damaged_and_foreign_files_are_refused(pairs: PairSet, tmp_path: Path) -> None:
    target = pack(pairs, tmp_path / "set.h5")
    content = target.read_bytes()
    target.write_bytes(content[: len(content) // 2])
    for read in (
        lambda: open_pairs(target),
        lambda: read_pair(replace(pairs.all[0], fixed=Stored(target, "x"))),
    ):
        with pytest.raises(ValueError, match=r"set\.h5 cannot be read"):
            read()
    target.write_bytes(content)
    with pytest.raises(ValueError, match=r"set\.h5 holds no images/9"):
        read_pair(Pair("p", Stored(target, "images/9"), Stored(target, "images/9")))
    with pytest.raises(ValueError, match="no pair file"):
        read_pair(Pair("p", Stored(tmp_path / "gone.h5", "images/9"), pairs.all[0].fixed))
    with h5py.File(target, "a") as file:
        file.attrs["version"] = 2
    with pytest.raises(ValueError, match="newer version"):
        open_pairs(target)
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["weights"] = np.zeros((3, 4, 5))
    with pytest.raises(ValueError, match=r"other\.h5 is no pair file"):
        open_pairs(tmp_path / "other.h5")


@pytest.mark.parametrize("axes", ["", "last", "first", "solid"])
def test_two_stacks_of_images_are_pairs(tmp_path: Path, axes: str) -> None:
    shape = (12, 5, *SHAPE) if axes == "solid" else (12, *SHAPE)
    fixed, moving = RNG.random((2, *shape), np.float32)
    add = {"last": -1, "first": 1}.get(axes)
    with h5py.File(tmp_path / "s.h5", "w") as file:
        for name, stack in (("group/Reference", fixed), ("group/sensed", moving)):
            file[name] = stack if add is None else np.expand_dims(stack, add)
    found = open_pairs(tmp_path / "s.h5")
    assert len(found.all) == 12 and len(found.validation) == 2 and found.notes == ()
    for pair in found.all:
        loaded = read_pair(pair)
        np.testing.assert_array_equal(loaded.fixed.data, fixed[int(pair.name)])
        np.testing.assert_array_equal(loaded.moving.data, moving[int(pair.name)])
        assert loaded.displacement is None
    assert len({content_hash(pair) for pair in found.all}) == 12


@pytest.mark.parametrize("last", [True, False])
def test_a_stack_of_flows_is_the_truth_along_columns_first(tmp_path: Path, last: bool) -> None:
    images, flow = RNG.random((2, 3, *SHAPE)), RNG.random((3, 2, *SHAPE))
    with h5py.File(tmp_path / "s.h5", "w") as file:
        file["a"], file["b"] = images
        file["flow"] = np.moveaxis(flow, 1, -1) if last else flow
    found = open_pairs(tmp_path / "s.h5", validation=0)
    assert any("a is taken as fixed and b as moving" in note for note in found.notes)
    assert any("flow is taken" in note for note in found.notes)
    loaded = read_pair(found.training[1])
    np.testing.assert_allclose(loaded.displacement, flow[1, ::-1].astype(np.float32))


def test_reading_one_pair_does_not_read_the_others(tmp_path: Path) -> None:
    """One entry of a stack that is larger than what may be kept."""
    import tracemalloc

    with h5py.File(tmp_path / "s.h5", "w") as file:
        for name in ("fixed", "moving"):
            file.create_dataset(name, (2000, 64, 64), "f4", chunks=(1, 64, 64), compression="gzip")
    found = open_pairs(tmp_path / "s.h5")
    assert len(found.all) == 2000
    tracemalloc.start()
    read_pair(found.training[7])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1e6  # of 65
