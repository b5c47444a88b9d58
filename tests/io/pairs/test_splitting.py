"""No image and no patient is on both sides of a split, whatever hangs together."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from napari_voxreg.io.pairs.splitting import split_pairs
from napari_voxreg.io.pairs.values import Found, Pair, PairSet


def pair(fixed: object, moving: object, *patients: str) -> Pair:
    who = dict(zip(("fixed_patient", "moving_patient"), patients, strict=False))
    return Pair(f"{moving} to {fixed}", Path(f"/{fixed}.png"), Path(f"/{moving}.png"), **who)  # type: ignore[arg-type]


def units(pairs: tuple[Pair, ...]) -> set[object]:
    return {
        whose or source
        for p in pairs
        for source, whose in ((p.fixed, p.fixed_patient), (p.moving, p.moving_patient))
    }


def split(pairs: list[Pair], *arguments: object, **options: object) -> PairSet:
    result = split_pairs(Found(tuple(pairs)), *arguments, **options)  # type: ignore[arg-type]
    kept = {id(p) for p in result.all}
    dropped = len(pairs) - len(kept)
    counted = [int(note.split()[0]) for note in result.notes if "skipped" in note]
    assert counted == ([dropped] if dropped else [])
    return result


def sets_of_pairs() -> dict[str, list[Pair]]:
    rng = np.random.default_rng(0)
    who = [f"P{k // 5}" for k in range(40)]
    return {
        "separate": [pair(f"f{k}", f"m{k}") for k in range(20)],
        "chain": [pair(k, k + 1) for k in range(30)],
        "all to all": [pair(a, b) for a, b in combinations(range(12), 2)],
        "at random": [pair(a, b) for a, b in rng.integers(0, 40, (30, 2)) if a != b],
        "patients": [pair(a, b, who[a], who[b]) for a, b in combinations(range(40), 2) if who[a] == who[b]],
        "across patients": [pair(a, b, who[a], who[b]) for a, b in combinations(range(40), 2)],
        "two heaps": [pair(f"a{a}", f"a{b}") for a, b in combinations(range(9), 2)]
        + [pair(f"b{a}", f"b{b}") for a, b in combinations(range(9), 2)],
    }


@pytest.mark.parametrize("name", sets_of_pairs())
@pytest.mark.parametrize("seed", range(4))
def test_sides_share_nothing(name: str, seed: int) -> None:
    pairs = sets_of_pairs()[name]
    result = split(pairs, 0.2, seed)
    assert result.validation and not units(result.training) & units(result.validation)
    assert len(result.training) >= 2 * len(result.validation)
    again = split(sets_of_pairs()[name], 0.2, seed)
    assert [p.name for p in again.validation] == [p.name for p in result.validation]


def test_the_seed_matters_and_nothing_is_dropped_without_need() -> None:
    pairs = sets_of_pairs()["separate"]
    held = {tuple(p.name for p in split(pairs, 0.25, seed).validation) for seed in range(5)}
    assert len(held) == 5 and {len(names) for names in held} == {5}
    assert len(split(pairs, 0.25).all) == 20
    assert len(split(sets_of_pairs()["patients"], 0.25).all) == 80
    assert len(split(sets_of_pairs()["chain"], 0.2).all) >= 28  # one piece of the chain, cut at its ends


def test_images_of_all_to_all_are_drawn_at_random() -> None:
    held = [
        frozenset(units(split(sets_of_pairs()["all to all"], 0.25, seed).validation)) for seed in range(10)
    ]
    assert {len(names) for names in held} == {3} and len(set(held)) == 10
    assert not frozenset.intersection(*held)


def test_an_image_that_all_pairs_share_is_a_template() -> None:
    result = split([pair("atlas", k) for k in range(10)], 0.2)
    assert len(result.validation) == 2 and len(result.training) == 8
    assert any("atlas.png is the fixed image of every pair" in note for note in result.notes)


def test_a_single_patient_is_split_by_images() -> None:
    result = split([pair(k, k + 1, "P1", "P1") for k in range(10)], 0.2)
    assert result.validation and len(result.training) > 5
    fixed = {p.fixed for p in result.validation} | {p.moving for p in result.validation}
    assert not fixed & ({p.fixed for p in result.training} | {p.moving for p in result.training})


@pytest.mark.parametrize(
    "pairs", [[pair(1, 2)], [pair(1, 2), pair(2, 3)], [pair(1, 2), pair(2, 3), pair(1, 3)]]
)
def test_what_cannot_be_split_is_on_both_sides_and_a_note_says_so(pairs: list[Pair]) -> None:
    result = split(pairs)
    assert result.training == result.validation == result.all == tuple(pairs)
    assert any("same pairs" in note for note in result.notes)
    assert split(pairs, 0).validation == () and split(pairs, 0).notes == ()


def test_a_list_names_pairs_images_or_patients() -> None:
    separate = sets_of_pairs()["separate"]
    for names in (["m3 to f3", "f7"], ["m3.png", "/m7.png"]):
        assert [p.name for p in split(separate, names).validation] == ["m3 to f3", "m7 to f7"]
    patients = split(sets_of_pairs()["patients"], ["P2"])
    assert units(patients.validation) == {"P2"} and len(patients.validation) == 10
    crowd = split(sets_of_pairs()["all to all"], ["3", "7", "11"])
    assert len(crowd.validation) == 3 and len(crowd.training) == 36
    with pytest.raises(ValueError, match="'m99', which is no pair"):
        split(separate, ["m99"])
    with pytest.raises(ValueError, match="no whole pair"):
        split(sets_of_pairs()["all to all"], ["3"])
    with pytest.raises(ValueError, match="left for training"):
        split(separate, [p.name for p in separate])


@pytest.mark.parametrize("fraction", [1.0, -0.1, float("nan")])
def test_fractions_lie_below_one(fraction: float) -> None:
    with pytest.raises(ValueError, match="below 1, not"):
        split([pair(1, 2)], fraction)
