"""The loop: it learns, saves, resumes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_voxreg.nets.checkpoints.checkpoint import build, load_weights
from napari_voxreg.train.synthetic.loop import train
from napari_voxreg.train.synthetic.objectives import OBJECTIVES
from napari_voxreg.train.synthetic.recipes import ABLATION, RECIPES, Recipe
from napari_voxreg.train.synthetic.score import Score, score, unseen
from napari_voxreg.train.synthetic.synthetic_pairs import Motion, make_batch

TINY = Recipe(
    name="tiny",
    architecture="pyramid",
    arguments={"ndim": 2, "features": 8, "hidden": 12, "context": 4, "radius": 1},
    loss="levels",
    shape=(32, 32),
    batch=2,
    steps=6,
    settling=2,
    rate=1e-3,
)


def test_a_run_leaves_weights_with_a_card_and_the_scores_of_unseen_pairs(tmp_path: Path) -> None:
    rows: list[tuple[int, float, Score | None]] = []
    net = train(TINY, tmp_path, every=3, report=lambda *row: rows.append(row))
    assert [step for step, _, _ in rows] == list(range(1, 7))
    assert [found is not None for _, _, found in rows] == [False, False, True] * 2
    loaded = load_weights(tmp_path / "tiny.safetensors")
    assert loaded.card["recipe"] == "tiny"
    assert loaded.card["steps"] == 6
    assert loaded.card["scores"]["unseen synthetic pairs"]["before"] > 0
    for name, value in net.state_dict().items():
        assert torch.equal(loaded.net.state_dict()[name], value)


def test_a_run_that_was_stopped_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    whole = train(TINY, tmp_path / "whole", every=3)

    def stop(step: int, loss: float, found: Score | None) -> None:
        if step == 5:  # what came after step 3 is lost
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(TINY, tmp_path / "parts", every=3, report=stop)
    parts = train(TINY, tmp_path / "parts", every=3)
    for one, other in zip(whole.parameters(), parts.parameters(), strict=True):
        assert torch.equal(one, other)


def test_the_rate_falls_at_the_end_alone(tmp_path: Path) -> None:
    assert [TINY.rate_at(step) for step in (0, 3, 4, 5, 6)] == [1e-3, 1e-3, 1e-3, 5e-4, 5e-5]
    train(TINY, tmp_path)
    values = torch.load(tmp_path / "tiny.state.pt", weights_only=True)
    assert values["optimizer"]["param_groups"][0]["lr"] == TINY.rate_at(TINY.steps - 1)


def test_time_runs_out_between_steps_and_the_rest_follows_later(tmp_path: Path) -> None:
    train(TINY, tmp_path, seconds=0.0)
    assert not (tmp_path / "tiny.safetensors").exists()
    assert sum(p.numel() for p in train(TINY, tmp_path).parameters()) > 0
    assert (tmp_path / "tiny.safetensors").exists()


def test_a_device_that_is_not_there_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="no CUDA device"):
        train(TINY, tmp_path, device="cuda")


def test_pairs_go_to_another_device_as_a_whole() -> None:
    (batch,) = unseen(2, (24, 24), Motion())
    moved = batch.to(torch.device("meta"))
    assert {value.device.type for name, value in vars(moved).items() if name != "labels"} == {"meta"}
    assert [labels.device.type for labels in moved.labels] == ["meta", "meta"]


@pytest.mark.parametrize("name", [name for name in RECIPES if RECIPES[name].start])
def test_what_a_recipe_begins_with_is_a_recipe_too(name: str) -> None:
    seen = {name}
    while start := RECIPES[name].start:
        assert start not in seen
        seen.add(name := start)


def test_training_learns(tmp_path: Path) -> None:
    """One batch again and again: the objective and its gradients lead somewhere."""
    torch.manual_seed(0)
    net = build("pyramid", {"ndim": 2, "features": 16, "hidden": 24, "context": 4, "radius": 2})
    batch = make_batch(4, (48, 48), Motion(), torch.Generator().manual_seed(1))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    losses = []
    for _ in range(60):
        loss = OBJECTIVES["levels"](net, batch)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.6 * losses[0]
    assert score(net, [batch]).after < 0.6 * score(net, [batch]).before


@pytest.mark.parametrize("name", [*RECIPES, *ABLATION])
def test_every_recipe_takes_a_step_on_small_images(name: str) -> None:
    recipe = {**RECIPES, **ABLATION}[name]
    torch.manual_seed(0)
    net = build(recipe.architecture, recipe.arguments)
    shape = tuple(32 for _ in recipe.shape)
    batch = make_batch(2, shape, recipe.motion, torch.Generator().manual_seed(2), alike=recipe.alike)
    loss = OBJECTIVES[recipe.loss](net, batch)
    loss.backward()
    assert torch.isfinite(loss)
    gradients = [p.grad for p in net.parameters()]
    assert sum(g is not None and bool(g.abs().sum() > 0) for g in gradients) > len(gradients) / 2
    assert all(g is None or bool(torch.isfinite(g).all()) for g in gradients)


def test_unseen_pairs_do_not_depend_on_what_was_trained_and_the_truth_scores_zero() -> None:
    (batch,) = unseen(3, (40, 40), Motion())
    assert torch.equal(batch.fixed, unseen(3, (40, 40), Motion())[0].fixed)

    class Told(torch.nn.Module):
        def forward(self, fixed: torch.Tensor, moving: torch.Tensor) -> torch.Tensor:
            from napari_voxreg.nets.architectures.network import Prediction

            return Prediction(batch.displacement)  # type: ignore[return-value]

    found = score(Told(), [batch])  # type: ignore[arg-type]
    assert found.after == 0
    assert found.before > 0.5
    assert found.worse == 0
    assert found.folds < 1e-3
