"""Flow files against the bytes that the format prescribes."""

import struct

import numpy as np
import pytest

from napari_voxreg.io.flo import read_flo, write_flo


def _bytes(width=3, height=2, magic=202021.25, values=None):
    values = range(2 * width * height) if values is None else values
    return struct.pack("<fii", magic, width, height) + struct.pack(f"<{len(values)}f", *values)


def test_the_files_flow_is_along_columns_first(tmp_path):
    path = tmp_path / "a.flo"
    path.write_bytes(_bytes())
    field = read_flo(path)
    assert field.shape == (2, 3, 2)
    assert field.dtype == np.float32
    # The second row's first pixel is the fourth: 6 along columns, 7 along rows.
    assert field[1, 0].tolist() == [7, 6]
    assert write_flo(tmp_path / "b.flo", field).read_bytes() == path.read_bytes()


def test_a_field_comes_back_and_what_is_unknown_stays_unknown(tmp_path):
    field = np.random.default_rng(0).normal(size=(5, 4, 2)).astype(np.float32)
    field[2, 1, 0], field[3, 3, 1] = np.nan, np.inf
    path = write_flo(tmp_path / "new" / "a.flo", field.astype(float))
    back = read_flo(path)
    unknown = np.zeros((5, 4), bool)
    unknown[2, 1] = unknown[3, 3] = True
    assert np.isnan(back[unknown]).all()
    assert np.array_equal(back[~unknown], field[~unknown])
    # Middlebury's own mark.
    at = 12 + 8 * (2 * 4 + 1)
    assert struct.unpack("<2f", path.read_bytes()[at : at + 8]) == pytest.approx((1e10, 1e10))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (_bytes(magic=1.0), "not a .flo file"),
        (b"", "not a .flo file"),
        (_bytes()[:9], "9 bytes"),
        (_bytes()[:-4], "has 56 bytes, but 3 x 2 pixels take 60"),
        (_bytes() + b"x", "has 61 bytes"),
        (_bytes(width=0, values=()), "0 x 2 pixels"),
        (_bytes(width=-3, values=()), "-3 x 2 pixels"),
        (_bytes(width=2**31 - 1, height=2**31 - 1, values=()), "2147483647 x 2147483647 pixels"),
        (_bytes(width=99_999, height=99_999, values=()), "79998400020"),
    ],
    ids=["magic", "empty", "header", "truncated", "longer", "zero", "negative", "absurd", "claims too much"],
)
def test_a_damaged_file_is_refused_in_one_sentence(tmp_path, content, says):
    path = tmp_path / "bad.flo"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"bad\.flo") as error:
        read_flo(path)
    assert says in str(error.value)
    assert str(error.value).endswith(".")
    assert "\n" not in str(error.value)


def test_a_missing_file_a_wrong_name_and_a_wrong_shape_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no flow file at"):
        read_flo(tmp_path / "none.flo")
    with pytest.raises(ValueError, match=r"ends in \.flo"):
        write_flo(tmp_path / "a.png", np.zeros((4, 5, 2)))
    for shape in ((4, 5), (4, 5, 3), (2, 4, 5), (3, 4, 5, 2), (0, 5, 2)):
        with pytest.raises(ValueError, match="flo file"):
            write_flo(tmp_path / "a.flo", np.zeros(shape))
    assert list(tmp_path.iterdir()) == []


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = write_flo(tmp_path / "a.flo", np.ones((2, 2, 2)))
    before = path.read_bytes()

    def full(self, data):
        with self.open("wb") as file:
            file.write(data[:20])
        raise OSError("No space left on device")

    monkeypatch.setattr("pathlib.Path.write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        write_flo(path, np.zeros((2, 2, 2)))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
