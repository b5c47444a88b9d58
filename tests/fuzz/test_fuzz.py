"""Damaged files of every format: each is read, or refused in one sentence, within 10 s and 2 GB.

300 files are tried, 3,000 by ``make fuzz``. Each altered file has a seed, which makes the same one again.
"""

import copy
import gzip
import hashlib
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

CASES = int(os.environ.get("VOXREG_FUZZ", "300"))
FIRST = int(os.environ.get("VOXREG_FUZZ_SEED", "0"))  # of the seeds of altered files
KEPT = 5  # failures that a message names
FOLDERS = {"run": "run", "table": "evaluation", "pairs": "lists"}  # read as a whole
EXTREMES = (
    b"\0\0\0\0",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\0\0\0\x80",
    b"\0\0\x01\0",
    b"nan ",
    b"1e99",
)

pytestmark = pytest.mark.timeout(30 + 10 * CASES)


def altered(content: bytes, rng: np.random.Generator) -> bytes:
    """Bytes cut off, changed, left out, doubled or replaced by extreme numbers, in one to four places."""
    changed = bytearray(content)
    for _ in range(rng.integers(1, 5)):
        # Headers are where the harm is: half of the places are in the first 400 bytes.
        end = max(1, len(changed) if rng.random() < 0.5 else min(400, len(changed)))
        at, length = int(rng.integers(end)), int(rng.integers(1, 40))
        way = rng.integers(7)
        if way == 0:
            del changed[at:]
        elif way == 1:
            del changed[at : at + length]
        elif way == 2:
            changed[at:at] = changed[at : at + length] * int(rng.integers(1, 50))
        elif way == 3:
            changed[at : at + length] = rng.integers(0, 256, length, np.uint8).tobytes()
        elif way == 4:
            changed[at : at + 4] = EXTREMES[rng.integers(len(EXTREMES))]
        elif way == 5:
            digits = [k for k in range(at, min(at + 200, len(changed))) if chr(changed[k]).isdigit()]
            for k in digits[: int(rng.integers(1, 9))]:
                changed[k] = ord("9")
        else:
            changed[at : at + 1] = (
                bytes([changed[at] ^ (1 << int(rng.integers(8)))]) if at < len(changed) else b""
            )
    return bytes(changed)


def write_case(target: Path, content: bytes, rng: np.random.Generator | None = None) -> None:
    """Write an altered file; checksums that would spare all further checks are brought up to date, mostly."""
    target.write_bytes(content)
    side = target.with_suffix(".json")
    if target.suffix in (".h5", ".safetensors") and side.is_file():
        record = json.loads(side.read_text())
        place = record.get("h5", record)
        place["sha256"] = hashlib.sha256(content).hexdigest()
        side.write_text(json.dumps(record))


def place_for(sample: Path, kind: str, folder: Path) -> tuple[Path, Path]:
    """Copies of a sample and what belongs to it: the file to alter, and the path to read."""
    if sample.parent.name in FOLDERS.values() or kind == "result":
        shutil.copytree(sample.parent, folder / "case", dirs_exist_ok=True)
        if kind == "pairs":
            for name in ("one.png", "two.png"):
                shutil.copy(sample.parents[1] / name, folder)
        return folder / "case" / sample.name, folder / "case"
    stem = "case" if kind != "pairs" or sample.suffix != ".csv" else "pairs"
    for file in sample.parent.glob(f"{sample.name.partition('.')[0]}.*"):
        ending = file.name.partition(".")[2]
        if ending in ("h5", "json", "safetensors", "raw", "img") or file == sample:
            shutil.copy(file, folder / (file.name if ending == "raw" else f"{stem}.{ending}"))
    if stem == "pairs":
        for name in ("one.png", "two.png"):
            shutil.copy(sample.parent / name, folder)
    ending = sample.name.partition(".")[2]
    target = folder / f"{stem}.{ending}"
    weights = kind == "checkpoint" and ending == "json"
    return target, target.with_suffix(".safetensors") if weights else target


def test_the_samples_themselves_are_read(child, samples, tmp_path):
    """Or nothing would be learnt from altered ones."""
    for name, (kind, sample) in samples.items():
        folder = tmp_path / name.replace("/", "-")
        folder.mkdir()
        assert child.read(kind, place_for(sample, kind, folder)[1]) == (True, "read: "), name


def test_altered_files(child, samples, tmp_path):
    names, failures, refused = sorted(samples), [], 0
    for seed in range(FIRST, FIRST + CASES * 2 // 3):
        rng = np.random.default_rng(seed)
        name = names[seed % len(names)]
        kind, sample = samples[name]
        folder = tmp_path / f"{seed}"
        folder.mkdir()
        target, path = place_for(sample, kind, folder)
        content = target.read_bytes()
        if name.endswith(".gz") and rng.random() < 0.7:
            write_case(target, gzip.compress(altered(gzip.decompress(content), rng)))
        else:
            write_case(target, altered(content, rng))
        good, words = child.read(kind, path)
        refused += words.startswith("refused")
        if good:
            shutil.rmtree(folder)
        else:
            failures.append(f"seed {seed} ({name}, kept in {folder}): {words}")
    report = "\n".join(failures if CASES > 300 else failures[:KEPT])
    assert not failures, f"{len(failures)} files; VOXREG_FUZZ_SEED=SEED begins with that one:\n{report}"
    assert refused > CASES // 6  # most alterations do harm


SMALL = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.sampled_from([10**7, 2**31, 2**63, 10**400, -1, 1e308, float("nan"), float("inf"), -0.0]),
    st.sampled_from(
        ["", "9**9**9**9", "m m(", "../../etc", "~nobody/x", "\0", "a\nb", "x" * 5000, "٣", "nan"]
    ),
    st.text(max_size=20),
)
VALUES = st.recursive(
    SMALL,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(["kind", "shape", "units"]), inner, max_size=3),
    ),
    max_leaves=8,
)
CELLS = st.one_of(
    st.sampled_from(
        ["fixed", "moving", "x", "y", "axis-0", "one.png", "two.png", "~nobody/a.png", "train", "1.5"]
    ),
    st.sampled_from(
        ["nan", "1e999", '"', "9" * 5000, "\0", "a" * 300, "p::images/0[1]", ":" * 9000 + "]", "../.."]
    ),
    st.text(max_size=8),
)
TABLES = st.lists(st.lists(CELLS, max_size=5), max_size=6).map(lambda rows: "\n".join(map(",".join, rows)))
WORDS = st.sampled_from(
    [
        *(
            "Transform",
            "Metric",
            "(",
            ")",
            '"',
            "//",
            " " * 4000,
            "\n",
            "= ",
            "[" * 3000,
            "]",
            "9" * 5000,
            "1.5",
        ),
        *("Transform: AffineTransform_double_2_2\n", "Parameters: 1 0 0 1 0 0\n", "FixedParameters: 0 0\n"),
        *("Transform: BSplineTransform_double_2_2\n", "FixedParameters: 1e9 1e9 0 0 1 1 1 0 0 1\n", "nan "),
        *(
            "Transform: CompositeTransform_double_2_2\n",
            "ComponentTransformFile: /etc/passwd\n",
            '"a" "b"',
            ".",
        ),
        *("DimSize = 99999 99999 9999\n", "ElementDataFile = /etc/passwd\n", "NDims = 2\n", "sizes: 9 9\n"),
        *("data file: ../x.raw\n", "NRRD0004\n", "ObjectType = Image\n", "encoding: gzip\n", "type: short\n"),
    ]
)
TEXTS = st.one_of(st.lists(WORDS, max_size=12).map("".join), st.text(max_size=60), TABLES)
QUICK = settings(
    max_examples=max(10, CASES // 12),
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],  # a case is small already, and a crash takes seconds
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def check(child, samples, tmp_path_factory):
    """Reads a sample with other content, and keeps the file where it should not be so."""

    def check(name: str, content: str) -> None:
        kind, sample = samples[name]
        folder = tmp_path_factory.mktemp("text")
        target, path = place_for(sample, kind, folder)
        write_case(target, content.encode("utf-8", "surrogatepass"))
        good, words = child.read(kind, path)
        assert good, f"{name}, kept in {target}: {words}"
        shutil.rmtree(folder)

    return check


def places(document, at=()):
    """The places of all values in a JSON document."""
    yield at
    if isinstance(document, dict | list):
        for key, value in document.items() if isinstance(document, dict) else enumerate(document):
            yield from places(value, (*at, key))


@QUICK
@given(data=st.data())
def test_json_with_other_values(check, samples, data):
    names = [n for n in samples if n.endswith(".json")]
    name = data.draw(st.sampled_from([*names, "result"]))
    document = json.loads(samples[name][1].read_text())
    at = data.draw(st.sampled_from(list(places(document))))
    value = data.draw(VALUES)
    whole = [copy.deepcopy(document)]
    *way, last = (0, *at)
    inside = whole
    for key in way:
        inside = inside[key]
    if data.draw(st.booleans()):
        inside[last] = value
    else:
        del inside[last]
    text = (
        json.dumps(whole[0])
        if whole
        else data.draw(st.sampled_from(["", "[" * 200_000, '{"a":' * 9000, "NaN"]))
    )
    check(name, text)


@QUICK
@given(
    name=st.sampled_from(
        [
            *("pairs.csv", "points.csv", "points.fcsv", "points.txt", "bigwarp.csv", "matrix.csv"),
            *("table.csv", "lists", "run/pairs.csv", "run/history.csv"),
        ]
    ),
    text=TABLES,
)
def test_tables(check, samples, name, text):
    head = samples[name][1].read_text().partition("\n")[0]
    check(name, text if len(text) % 2 else f"{head}\n{text}")


@QUICK
@given(
    name=st.sampled_from(
        [
            *("map.txt", "map.toml", "linear.tfm", "linear.xfm", "header.mhd", "header.nhdr"),
            *("elastix.txt", "freesurfer.lta", "align.aff12.1D"),
        ]
    ),
    text=TEXTS,
)
def test_texts(check, samples, name, text):
    check(name, text if len(text) % 2 else samples[name][1].read_text() + text)


@QUICK
@given(
    text=st.one_of(
        st.text(max_size=40),
        st.lists(st.sampled_from(["mm", "**", "9", "(", " ", "µm", "/", "e"])).map("".join),
    )
)
def test_units(child, tmp_path_factory, text):
    path = tmp_path_factory.mktemp("unit") / "unit.txt"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    good, words = child.read("unit", path)
    assert good, f"{text!r}: {words}"
