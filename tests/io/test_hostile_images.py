"""Images that are damaged or made to do harm: nothing dies, fills the memory or reads other files."""

import gzip
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tifffile

from napari_voxreg import Grid, Image
from napari_voxreg.io.images import read_image, write_image

PLANE3 = Grid.from_spacing((4, 5, 6), units="millimeter")


def mhd(path, data, axes="2", size="8 8"):
    path.write_text(
        f"ObjectType = Image\nNDims = {axes}\nDimSize = {size}\nElementType = MET_UCHAR\n"
        f"ElementDataFile = {data}\n"
    )
    return path


def nhdr(path, data, size="8 8"):
    path.write_text(f"NRRD0004\ntype: uchar\ndimension: 2\nsizes: {size}\nencoding: raw\ndata file: {data}\n")
    return path


@pytest.mark.parametrize("write", [mhd, nhdr])
def test_pixels_come_from_beside_a_header_only(tmp_path, write, sentence):
    inside, outside = tmp_path / "inside", tmp_path / "outside.raw"
    (inside / "data").mkdir(parents=True)
    outside.write_bytes(bytes(range(64)))
    (inside / "data" / "x.raw").write_bytes(bytes(range(64)))
    (inside / "y.raw").write_bytes(bytes(range(64)))
    path = inside / f"a.{write.__name__}"
    for name in ("y.raw", "data/x.raw"):
        assert np.array_equal(read_image(write(path, name)).data.ravel(), range(64))
    for name in ("../outside.raw", str(outside), "data/../../outside.raw", "LIST\n../outside.raw"):
        assert "which is not followed" in sentence(read_image, write(path, name))


def test_pixels_of_an_ome_tiff_come_from_beside_it_only(tmp_path, sentence):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, np.zeros((8, 8), np.uint8), metadata={"axes": "YX"})
    text = tifffile.TiffFile(path).ome_metadata
    uuid = '><UUID FileName="../b.tif">urn:uuid:1</UUID></TiffData>'
    other = text.replace('PlaneCount="1"/>', f'PlaneCount="1"{uuid}')
    assert "FileName" in other
    tifffile.tiffcomment(path, other.encode())
    assert "not followed" in sentence(read_image, path)


@pytest.mark.parametrize(
    "write",
    [
        lambda path: mhd(path.with_suffix(".mhd"), "x.raw", "-1"),
        lambda path: mhd(path.with_suffix(".mhd"), "x.raw", "100000"),
        lambda path: nhdr(path.with_suffix(".nhdr"), "x" * 3000),
        lambda path: nhdr(path.with_suffix(".nhdr"), "x.raw", "8 " + "9" * 3000),
    ],
)
def test_headers_of_which_itk_dies_are_refused(tmp_path, write, sentence):
    sentence(read_image, write(tmp_path / "a"))


@pytest.mark.parametrize("ending", [".nii", ".nii.gz", ".mhd", ".nhdr", ".tif"])
def test_images_that_claim_more_than_they_hold_are_refused_at_once(tmp_path, ending, sentence):
    path = tmp_path / f"a{ending}"
    if ending.startswith(".nii"):
        write_image(Image(np.zeros((4, 5, 6), np.uint8), PLANE3), tmp_path / "b.nii")
        content = bytearray((tmp_path / "b.nii").read_bytes())
        struct.pack_into("<8h", content, 40, 3, 30_000, 30_000, 30_000, 1, 1, 1, 1)
        path.write_bytes(gzip.compress(content) if ending == ".nii.gz" else content)
    elif ending == ".tif":
        tifffile.imwrite(path, np.zeros((64, 64), np.uint8))
        with tifffile.TiffFile(path, mode="r+") as tiff:
            for tag in ("ImageWidth", "ImageLength", "RowsPerStrip"):
                tiff.pages[0].tags[tag].overwrite(200_000)
    else:
        (tmp_path / "x.raw").write_bytes(bytes(64))
        (mhd if ending == ".mhd" else nhdr)(path, "x.raw", size="200000 200000")
    assert "claims" in sentence(read_image, path)


def test_a_gzip_bomb_behind_a_small_header_is_not_unpacked(tmp_path):
    write_image(Image(np.arange(120, dtype=np.uint8).reshape(4, 5, 6), PLANE3), tmp_path / "b.nii")
    packer = zlib.compressobj(1, wbits=31)
    packed = packer.compress((tmp_path / "b.nii").read_bytes())
    packed += b"".join(packer.compress(bytes(2**20)) for _ in range(64)) + packer.flush()
    (tmp_path / "a.nii.gz").write_bytes(packed)
    assert np.array_equal(read_image(tmp_path / "a.nii.gz").data.ravel(), np.arange(120))


def png(path, width, height, rows):
    def chunk(kind, content):
        check = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + check

    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(width + 1)) for _ in range(rows)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    parts = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*part) for part in parts))
    return path


def test_a_slide_of_200_megapixels_opens(tmp_path):
    image = read_image(png(tmp_path / "a.png", 16_000, 12_500, 12_500))
    assert image.grid.shape == (12_500, 16_000) and not image.data[::1000].any()


def test_a_picture_that_claims_gigapixels_is_refused(tmp_path, sentence):
    assert "claims" in sentence(read_image, png(tmp_path / "a.png", 60_000, 60_000, 1))


def test_a_damaged_picture_loads_no_itk(tmp_path):
    for ending in ("png", "jpg", "bmp"):
        (tmp_path / f"a.{ending}").write_bytes(b"A" * 4096)
    code = """
import sys
from napari_voxreg.io.images import read_image
for ending in ("png", "jpg", "bmp"):
    try:
        read_image(f"{sys.argv[1]}/a.{ending}")
    except ValueError as error:
        assert "damaged or cut off" in str(error)
print("itk" in sys.modules, "SimpleITK" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
