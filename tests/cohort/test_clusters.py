"""Clusters of a set of pairs: kinds of images that differ are found again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_voxreg import Grid, Image
from napari_voxreg.cohort import csv_text, survey
from napari_voxreg.core.progress import Cancelled
from napari_voxreg.io.images import write_image
from napari_voxreg.io.pairs import Pair, PairSet, open_pairs

KINDS = ("disc", "stripes", "noise")


def picture(kind: str, seed: int, shape: tuple[int, ...], spacing: float = 1.0) -> Image:
    """A bright disc on black, stripes, or smooth noise, each a little unlike the last."""
    rng = np.random.default_rng(seed)
    axes = np.meshgrid(*(np.linspace(-1, 1, n) for n in shape), indexing="ij")
    if kind == "disc":
        data = (sum(a**2 for a in axes) < rng.uniform(0.4, 0.5)) * 1.0
    elif kind == "stripes":
        data = (axes[-1] * 2.5 % 1 < rng.uniform(0.45, 0.55)) * 1.0
    else:
        data = gaussian_filter(rng.normal(size=shape), 1) + 3 * (axes[-2] > 0)
    noisy = 100 * (data + 0.05 * rng.normal(size=shape))
    return Image(noisy.astype(np.float32), Grid.from_spacing(shape, spacing), f"{kind}{seed}")


def make(kind: str, seed: int, shape: tuple[int, ...]) -> Pair:
    name = f"{kind}{seed:02d}"
    return Pair(name, picture(kind, seed, shape), picture(kind, seed + 50, shape), fixed_patient=name)


def a_set(shapes: tuple[tuple[int, ...], ...], training: int = 6, validation: int = 2) -> PairSet:
    """Of each kind so many pairs; shapes take turns."""
    pairs = [
        [make(kind, seed, shapes[seed % len(shapes)]) for seed in range(training + validation)]
        for kind in KINDS
    ]
    return PairSet(
        tuple(pair for some in pairs for pair in some[:training]),
        tuple(pair for some in pairs for pair in some[training:]),
    )


def kind_of(name: str) -> str:
    return name[:-2]


@pytest.mark.parametrize("images", ["fixed", "both"])
@pytest.mark.parametrize("shapes", [((64, 64), (90, 70)), ((16, 24, 24), (20, 20, 20))])
def test_kinds_are_found_with_the_elbow_at_their_number(shapes, images) -> None:  # type: ignore[no-untyped-def]
    pairs = a_set(shapes)
    found = survey(pairs, images=images)
    assert found.suggested == 3
    assert list(found.inertias) == sorted(found.inertias, reverse=True)
    clusters = found.clusters()
    assert [cluster.number for cluster in clusters] == [1, 2, 3]
    for cluster in clusters:
        kinds = {kind_of(member.pair.name) for member in cluster.members}
        assert len(kinds) == 1
        distances = [member.distance for member in cluster.members]
        assert distances == sorted(distances) and distances[0] < distances[-1]
        assert len(cluster.pairs.training) == 6 and len(cluster.pairs.validation) == 2
        assert set(cluster.pairs.training) <= set(pairs.training)
        assert set(cluster.pairs.validation) <= set(pairs.validation)
        for member in cluster.members:
            assert member.training == (member.pair in pairs.training)
            assert member.thumbnail.shape == (96, 96) and member.thumbnail.dtype == np.uint8
    assert {kind_of(c.members[0].pair.name) for c in clusters} == set(KINDS)
    again = survey(pairs, images=images)
    assert csv_text(again.clusters()) == csv_text(clusters)


def test_thumbnails_show_the_middle_of_the_fixed_image_undistorted() -> None:
    flat = picture("disc", 0, (60, 120))
    deep = Image(
        np.stack([np.zeros((60, 120)), flat.data, np.zeros((60, 120))]), Grid.from_spacing((3, 60, 120))
    )
    for image in (flat, deep):
        others = [picture("noise", k, image.data.shape) for k in range(2)]
        pairs = PairSet(tuple(Pair(f"p{k}", i, i) for k, i in enumerate((image, *others))), ())
        shown = survey(pairs).thumbnails[0]
        assert shown[:20].max() == 0 and shown[-20:].max() == 0  # as wide as it was, black above and below
        assert shown[48, 48] > 200 and shown[48, 4] < 60


def test_validation_pairs_do_not_move_the_centres() -> None:
    pairs = a_set(((64, 64),))
    other = PairSet(pairs.training, tuple(make("disc", seed, (64, 64)) for seed in range(20, 40)))
    first, second = survey(pairs), survey(other)
    for a, b in zip(first.centres, second.centres, strict=True):
        np.testing.assert_array_equal(a, b)
    disc = next(c for c in second.clusters(3) if kind_of(c.pairs.training[0].name) == "disc")
    assert len(disc.pairs.validation) == 20


def test_the_number_may_be_given_and_what_cannot_be_is_refused() -> None:
    pairs = a_set(((48, 48),), training=2, validation=1)
    found = survey(pairs)
    assert len(found.centres) == 6
    clusters = found.clusters(6)
    assert [len(c.pairs.training) for c in clusters] == [1] * 6
    assert sum(len(c.pairs.validation) for c in clusters) == 3
    for k in (0, 7):
        with pytest.raises(ValueError, match=rf"^{k} clusters cannot .* from 1 to 6 \(6 training pairs\)\.$"):
            found.clusters(k)
    assert len(survey(pairs, most=2).centres) == 2
    with pytest.raises(ValueError, match="no pairs to train on"):
        survey(PairSet((), pairs.validation))


def test_what_cannot_be_read_is_named_and_left_out(tmp_path: Path) -> None:
    for k in range(6):
        for side in ("fixed", "moving"):
            write_image(picture(KINDS[k % 2], k, (40, 40)), tmp_path / side / f"p{k}.tif")
    (tmp_path / "fixed" / "p3.tif").write_bytes(b"II*\0nothing")
    spoilt = picture("disc", 9, (40, 40)).data.copy()
    spoilt[:] = np.nan
    write_image(Image(spoilt, Grid.from_spacing((40, 40))), tmp_path / "fixed" / "p4.tif")
    found = survey(open_pairs(tmp_path, validation=0.0))
    assert [pair.name for pair in found.pairs.training] == ["p0", "p1", "p2", "p5"] or (
        [pair.name for pair in found.pairs.training] == [f"p{k}.tif" for k in (0, 1, 2, 5)]
    )
    said = [note for note in found.pairs.notes if "is skipped" in note]
    assert len(said) == 2 and "p3" in said[0] and "no pixel with data" in said[1]
    for file in (tmp_path / "fixed").iterdir():
        file.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="None of the 6 pairs to train on can be read: The pair p0"):
        survey(open_pairs(tmp_path, validation=0.0))


def test_one_template_for_all_has_no_kinds_but_its_moving_images_have() -> None:
    template = picture("noise", 0, (40, 40))
    moving = [picture(KINDS[k % 2], k, (40, 40)) for k in range(8)]
    pairs = open_pairs(moving, template=template, validation=0.0)
    with pytest.raises(ValueError, match="All 8 pairs to train on show the same; compare both"):
        survey(pairs)
    assert survey(pairs, images="both").suggested == 2


def test_a_single_pair_is_a_cluster_of_its_own() -> None:
    pair = make("disc", 0, (32, 32))
    found = survey(PairSet((pair,), (pair,)))
    (cluster,) = found.clusters()
    assert cluster.pairs.training == cluster.pairs.validation == (pair,)
    assert len(cluster.members) == 1


def test_progress_tells_the_pair_and_can_cancel() -> None:
    pairs, said = a_set(((32, 32),), 2, 1), []

    def until_the_third(fraction: float | None, message: str, metric: float | None = None) -> None:
        said.append((fraction, message))
        if len(said) == 3:
            raise Cancelled

    with pytest.raises(Cancelled):
        survey(pairs, progress=until_the_third)
    assert said[1][1] == "2 of 9, disc01: reading"
    said.clear()
    survey(pairs, progress=lambda fraction, message, metric=None: said.append((fraction, message)))
    fractions = [fraction for fraction, _ in said]
    assert fractions == sorted(fractions) and fractions[-1] < 1
    assert said[9][1] == "comparing" and said[-1][1] == "finding 6 clusters"


def test_the_list_has_a_line_for_each_pair() -> None:
    pairs = a_set(((32, 32),), 3, 1)
    lines = csv_text(survey(pairs).clusters(3)).splitlines()
    assert lines[0] == "cluster,set,pair,distance"
    cells = [line.split(",") for line in lines[1:]]
    assert {(c[1], c[2]) for c in cells} == {("train", p.name) for p in pairs.training} | {
        ("val", p.name) for p in pairs.validation
    }
    assert [c[0] for c in cells] == sorted(c[0] for c in cells)
