"""The training loop: resume, averaging, schedule, and what it does with a loss that is not finite."""

import pytest
import torch
from torch import nn

from tinyworld.training.loop import Recipe, fit

RECIPE = Recipe(steps=8, batch_size=4, learning_rate=0.05, warmup=2, checkpointing_steps=4)


def losses(model, generator):
    x = torch.randn(4, 3, generator=generator)
    return {"square": (model(x) - x.sum(1, keepdim=True)).pow(2).mean()}


def fresh():
    torch.manual_seed(0)
    return nn.Linear(3, 1)


def weights(model):
    return torch.cat([p.flatten() for p in model.parameters()])


class Stopped(Exception):
    pass


def test_a_stopped_run_ends_with_the_weights_of_an_unbroken_one(tmp_path):
    unbroken = fit("m", fresh(), losses, RECIPE, tmp_path / "a")

    def stop(_):
        raise Stopped

    with pytest.raises(Stopped):
        fit("m", fresh(), losses, RECIPE, tmp_path / "b", on_checkpoint=stop)
    torch.manual_seed(123)  # what the process had drawn before must not matter
    resumed = fit("m", nn.Linear(3, 1), losses, RECIPE, tmp_path / "b")
    assert torch.equal(weights(unbroken), weights(resumed))


def test_the_averaged_model_has_learned(tmp_path):
    model = fit("m", fresh(), losses, Recipe(steps=300, batch_size=4, learning_rate=0.05, warmup=2, ema=0.9), tmp_path)
    assert torch.allclose(model.weight, torch.ones(1, 3), atol=0.05)
    assert not any(p.requires_grad for p in model.parameters())


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_checkpoint(tmp_path):
    def breaks(model, generator):
        found = losses(model, generator)
        broken = generator.initial_seed() % 1_000_003 == 6
        return {"square": found["square"] * (float("nan") if broken else 1.0)}

    with pytest.raises(FloatingPointError, match=r"step 6.*m\.pt"):
        fit("m", fresh(), breaks, RECIPE, tmp_path)
    assert torch.load(tmp_path / "m.pt", weights_only=True)["step"] == 4


def test_the_rate_warms_up_holds_and_falls_to_nearly_nothing():
    recipe = Recipe(steps=100, batch_size=1, learning_rate=1.0, warmup=10, decay=0.3)
    rates = [recipe.rate(step) for step in range(100)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:70] == pytest.approx([1.0] * 61)
    assert rates[70:] == sorted(rates[70:], reverse=True)
    assert rates[-1] < 0.05
