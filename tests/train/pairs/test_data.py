"""Pairs on training grids, changed at random, in batches."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from multiprocessing import active_children
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_voxreg import Grid, Image
from napari_voxreg.io.pairs import Pair
from napari_voxreg.nets.inference.frame import network_grid
from napari_voxreg.tensor.warp import warp_batch
from napari_voxreg.train.options import TrainOptions
from napari_voxreg.train.pairs.augment import augmented
from napari_voxreg.train.pairs.data import Draw, Feed, PairData, Plan, Store, in_order, together
from napari_voxreg.train.pairs.prepare import LABELS, MASKS, TRUTH, covering, members, prepare

ALL = frozenset((LABELS, MASKS, TRUTH))
EVERYTHING = TrainOptions(
    rotation=30,
    shift=0.1,
    scale=0.2,
    flips=True,
    crop=0.3,
    elastic=0.03,
    intensity=0.3,
    speckle=0.2,
    bias=0.3,
)


def smooth(shape: tuple[int, ...], seed: int = 0, width: float = 3.0) -> np.ndarray:
    """A smooth random picture."""
    data = ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal(shape), width)
    return data.astype(np.float32)


@pytest.mark.parametrize("shape", [(100, 60), (37, 64), (40, 30, 20)])
def test_training_sees_a_pair_as_networks_do_later(shape: tuple[int, ...]) -> None:
    fixed = Grid.from_spacing(shape, 0.5, origin=3.0)
    grid = network_grid(fixed, 8, 256)
    assert covering(fixed, grid.shape).same_as(grid)


def test_images_of_other_sizes_fit_the_same_shape() -> None:
    for shape in ((100, 60), (20, 300), (64, 64), (10, 12)):
        fixed = Grid.from_spacing(shape, 2.0)
        grid = covering(fixed, (64, 48))
        assert grid.shape == (64, 48)
        assert np.allclose(grid.spacing, grid.spacing[0])
        # All of the image lies on it.
        index = grid.to_index(fixed.corners())
        assert (index >= -0.5).all()
        assert (index <= np.array((64, 48)) - 0.5).all()


def test_moving_lies_where_it_is_in_the_world_and_the_truth_too() -> None:
    """The moving image has other pixels, in another unit, and a known displacement in its own pixels."""
    data = smooth((60, 60))
    fixed = Image(data[10:50, 10:50], Grid.from_spacing((40, 40), 1.0, units="millimeter"), "f")
    moving = Image(data, Grid.from_spacing((60, 60), 1e-3, origin=-10e-3, units="meter"), "m")
    here = np.indices((40, 40)).astype(np.float32)
    shift = np.array([1.5, -2.0], np.float32)[:, None, None]
    # x + u is a place in the moving image's own pixels, ten further than in the world.
    pair = Pair("p", fixed, moving, displacement=10.0 + shift + 0 * here)
    found = prepare(pair, (20, 20), frozenset((TRUTH,)))
    assert np.allclose(found.tensors[TRUTH], np.broadcast_to(shift / 2, (2, 20, 20)), atol=1e-4)
    # Both show the same where they lie, up to their range of intensities.
    a, b = (found.tensors[side].flatten() for side in ("fixed", "moving"))
    assert np.corrcoef(a, b)[0, 1] > 0.99


def test_members_that_a_pair_lacks_do_not_count(some_pairs) -> None:
    pair = some_pairs().training[0]
    assert members([pair]) == {LABELS, TRUTH}
    bare = replace(pair, fixed_labels=None, displacement=None)
    found = prepare(bare, (32, 32), ALL).tensors
    assert not found["fixed_labels"].any()
    assert not found["moving_labels"].any()
    assert found["fixed_mask"].min() == 1
    assert torch.isnan(found[TRUTH]).all()
    whole = prepare(pair, (32, 32), ALL).tensors
    assert set(whole["fixed_labels"].unique().tolist()) == {1, 2}


def test_pixels_without_data_do_not_count() -> None:
    data = smooth((32, 32))
    bad = data.copy()
    bad[:4] = np.nan
    grid = Grid.from_spacing((32, 32))
    tensors = prepare(Pair("p", Image(data, grid), Image(bad, grid, "moon")), (32, 32), ALL).tensors
    assert torch.isfinite(tensors["moving"]).all()
    assert not tensors["moving_mask"][0, :4].any() and tensors["moving_mask"][0, 4:].all()
    assert tensors["fixed_mask"].all()
    assert torch.allclose(tensors["moving"][0, 4:], tensors["fixed"][0, 4:], atol=0.05)
    with pytest.raises(ValueError, match="moon has no pixel with data"):
        nothing = Image(np.full_like(data, np.nan), grid, "moon")
        prepare(Pair("p", Image(data, grid), nothing), (32, 32), frozenset())


@pytest.mark.parametrize("ndim", [2, 3])
def test_changed_pairs_keep_their_truth(ndim: int) -> None:
    """fixed(x) = moving(x + u(x)) before, and just as well after, for images, labels and masks."""
    shape = (64, 64) if ndim == 2 else (32, 32, 32)
    moving = torch.from_numpy(smooth(shape, width=2.5))[None]
    moving = (moving - moving.min()) / (moving.max() - moving.min())
    u = torch.stack([torch.from_numpy(smooth(shape, seed, 8.0)) for seed in range(1, ndim + 1)])
    u = 2 * u / u.std()
    fixed = warp_batch(moving[None], u[None])[0]
    tensors = {"fixed": fixed, "moving": moving, TRUTH: u}
    tensors |= {f"{s}_labels": (tensors[s] > 0.5).long() for s in ("fixed", "moving")}
    geometric = replace(EVERYTHING, intensity=0.0, speckle=0.0, bias=0.0, shift=0.05, scale=0.1)
    inner = (..., *(slice(n // 4, -n // 4) for n in shape))
    for seed in range(3):
        found = augmented(tensors, geometric, torch.Generator().manual_seed(seed))
        again = warp_batch(found["moving"][None], found[TRUTH][None])[0]
        change = (found["fixed"] - fixed)[inner].abs().mean()
        assert change > 0.02
        assert (again - found["fixed"])[inner].abs().mean() < 0.25 * change
        agreeing = ((found["fixed"] > 0.5) == found["fixed_labels"])[inner].float().mean()
        assert agreeing > 0.93
        assert torch.isfinite(found[TRUTH]).all()


def test_a_crop_enlarges_a_window_that_lies_in_the_image() -> None:
    index = torch.stack(torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij"))
    tensors = {"fixed": index[:1] / 31, "moving": index[1:] / 47, TRUTH: torch.full((2, 32, 48), 2.0)}
    options = TrainOptions(crop=0.5)
    factors = []
    for seed in range(8):
        found = augmented(tensors, options, torch.Generator().manual_seed(seed))
        rows, columns = (31 * found["fixed"][0].diff(dim=0), 47 * found["moving"][0].diff(dim=1))
        factors.append(float(rows.mean()))
        assert torch.allclose(columns, rows[0, 0].expand_as(columns), atol=1e-3)  # no border is repeated
        assert torch.allclose(found[TRUTH], tensors[TRUTH] / factors[-1], rtol=1e-3)
    assert 0.5 <= min(factors) < 0.7 and 0.8 < max(factors) <= 1


def test_the_same_seed_changes_alike_and_each_option_changes_something() -> None:
    data = torch.from_numpy(smooth((32, 32)))[None]
    data = (data - data.min()) / (data.max() - data.min())
    tensors = {"fixed": data, "moving": data}
    for name in ("rotation", "shift", "scale", "flips", "crop", "elastic", "intensity", "speckle", "bias"):
        options = TrainOptions(**{name: getattr(EVERYTHING, name)})
        one, two = (augmented(tensors, options, torch.Generator().manual_seed(4)) for _ in range(2))
        assert torch.equal(one["fixed"], two["fixed"])
        assert not torch.equal(one["fixed"], data)
        together = name in ("rotation", "shift", "scale", "flips", "crop", "elastic")
        assert torch.equal(one["fixed"], one["moving"]) == together
        assert one["fixed"].min() >= 0
        assert one["fixed"].max() <= 1


@pytest.mark.parametrize(
    ("pairs", "batch", "steps"), [(10, 4, 0), (10, 3, 7), (3, 8, 0), (1, 4, 0), (8, 4, 0)]
)
def test_every_pair_is_used(pairs: int, batch: int, steps: int) -> None:
    plan = Plan(pairs, batch, steps, seed=5)
    epoch = list(plan.epoch(1))
    assert len(epoch) == plan.length == (steps or -(-pairs // min(batch, pairs)))
    counts = Counter(draw.index for step in epoch for draw in step)
    if not steps:
        assert set(counts) == set(range(pairs))
    assert max(counts.values()) - min(counts.get(k, 0) for k in range(pairs)) <= 1
    assert list(plan.epoch(1, 1)) == epoch[1:]
    assert list(plan.epoch(2)) != epoch or pairs == 1
    seeds = [draw.seed for number in (1, 2) for step in plan.epoch(number) for draw in step]
    assert len(set(seeds)) == len(seeds)


def test_processes_share_a_step_as_one_would_take_it() -> None:
    alone = Plan(10, 4, 0, seed=5)
    halves = [Plan(10, 4, 0, seed=5, processes=2, rank=rank) for rank in (0, 1)]
    for step, *parts in zip(alone.epoch(3), *(half.epoch(3) for half in halves), strict=True):
        assert sorted(d.seed for part in parts for d in part) == sorted(d.seed for d in step)
        assert len(parts[0]) == len(parts[1])


def test_the_store_gives_what_was_read_and_keeps_to_its_limit(some_pairs, tmp_path: Path) -> None:
    pairs = some_pairs().training
    options = TrainOptions()
    data = PairData(pairs, (32, 32), ALL, options, Store(tmp_path / "store", 4))
    first = [data[Draw(k, None)] for k in range(6)]
    assert len(list((tmp_path / "store").iterdir())) == 4
    for pair in pairs:
        pair.fixed.unlink()
    second = [data[Draw(k, None)] for k in range(6)]
    for (_, one, sha, _), (_, other, sha_too, _) in zip(first[:4], second[:4], strict=True):
        assert sha == sha_too
        assert other.grid.same_as(one.grid)
        for name, value in one.tensors.items():
            assert torch.equal(other.tensors[name].nan_to_num(9.0), value.nan_to_num(9.0)), name
    assert [item[1] for item in second[4:]] == [None, None]
    assert "04.tif" in second[4][3][4]


def test_a_batch_says_what_it_lacks_and_training_fills_it_up(some_pairs) -> None:
    pairs = some_pairs().training
    pairs[2].moving.write_bytes(b"no picture")
    data = PairData(pairs, (32, 32), frozenset(), TrainOptions())
    judged = together([data[draw] for draw in in_order(6, 6)[0]])
    assert judged.names == ("00", "01", "03", "04", "05")
    assert list(judged.unreadable) == [2]
    trained = together([data[Draw(k, k)] for k in range(4)])
    assert trained.names == ("00", "01", "03", "03")
    assert trained.tensors["fixed"].shape == (4, 1, 32, 32)


def test_readers_that_are_still_starting_do_not_delay_the_end(some_pairs) -> None:
    pairs = some_pairs(training=4, validation=0).training
    data = PairData(pairs, (32, 32), frozenset(), TrainOptions())
    before = set(active_children())
    feed = Feed(data, in_order(4, 2), 2, lambda: None)
    while len(set(active_children()) - before) < 2:
        time.sleep(0.01)
    began = time.monotonic()
    feed.close()
    feed._thread.join(10)
    assert time.monotonic() - began < 2  # torch alone takes longer to load
    assert not set(active_children()) - before


def test_waiting_for_a_slow_file_asks_what_the_user_wishes() -> None:
    class Slow(PairData):
        def __getitem__(self, draw: Draw):
            time.sleep(30)

    class Wished(Exception):
        pass

    def check() -> None:
        raise Wished

    grid = Grid.from_spacing((8, 8))
    pair = Pair("p", *(Image(np.zeros((8, 8)), grid) for _ in range(2)))
    began = time.monotonic()
    feed = Feed(Slow([pair], (8, 8), frozenset(), TrainOptions()), [[Draw(0, 0)]], 0, check)
    with pytest.raises(Wished):
        next(iter(feed))
    feed.close()
    assert time.monotonic() - began < 2
