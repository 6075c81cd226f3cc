"""The parts of the loss: what makes each small, and what does not."""

from __future__ import annotations

import math

import pytest
import torch

from spotdiff_model import losses


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def test_orthogonality_is_blind_to_leaks_that_cross_covariance_sees(generator: torch.Generator) -> None:
    pose, subject = torch.randn(2, 256, 8, generator=generator)
    nothing = torch.zeros_like(pose)
    f_p, f_s = torch.cat([pose, nothing], 1), torch.cat([nothing, pose], 1)
    assert losses.orthogonality(f_s, f_p) == 0
    assert losses.cross_covariance(f_s[:, 8:], f_p[:, :8]) > 0.1
    assert losses.cross_covariance(subject, f_p[:, :8]) < 0.01


def test_hsic_sees_dependence_that_is_not_linear(generator: torch.Generator) -> None:
    x, y = torch.rand(2, 200, 1, generator=generator) * 2 - 1
    bent = (x.square() - x.square().mean()) * 3
    assert losses.cross_covariance(bent, x) < 0.05
    assert losses.hsic(bent, x) > 3 * losses.hsic(y, x)
    assert losses.hsic(x, 5 * x + 1) == pytest.approx(1, abs=1e-4)


def test_agreement_falls_as_equal_labels_come_together(generator: torch.Generator) -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    apart = torch.randn(6, 16, generator=generator)
    together = torch.eye(16)[labels]
    assert losses.supervised_contrastive(together, labels) < 0.01 < losses.supervised_contrastive(apart, labels)
    assert losses.supervised_contrastive(apart, torch.arange(6)) == 0


def test_missing_keypoints_count_only_for_their_presence() -> None:
    wanted = torch.zeros(1, 18, 3)
    wanted[0, 0] = torch.tensor([0.5, 0.5, 1.0])
    found = wanted.clone()
    found[0, 5, :2] = 0.9
    assert losses.keypoint_regression(found, wanted) == pytest.approx(0, abs=1e-4)
    found[0, 0, 0] = 0.55
    assert losses.keypoint_regression(found, wanted) == pytest.approx(0.8, abs=0.05)
    found[0, 5, 2] = 1 - math.exp(-18)
    assert losses.keypoint_regression(found, wanted) > 1


def test_keypoint_places_want_the_patch_under_the_joint() -> None:
    wanted = torch.zeros(1, 18, 3)
    wanted[0, 3] = torch.tensor([0.9, 0.1, 1.0])  # right column, top row: patch 1 of a 2 x 2 grid
    log_heatmap = torch.full((1, 4, 18), -9.0)
    log_heatmap[0, 1, 3] = 0
    assert losses.keypoint_places(log_heatmap, wanted) == 0
    assert losses.keypoint_places(log_heatmap.flip(1), wanted) == 9


def test_text_agreement_counts_what_tells_prompts_apart() -> None:
    mean = torch.full((8,), 10.0)
    wanted = mean + torch.eye(8)[:2]
    assert losses.text_alignment(wanted, wanted, mean) == pytest.approx(0, abs=1e-5)
    assert losses.text_alignment(wanted.flip(0), wanted, mean) == pytest.approx(1, abs=1e-5)


def test_patches_around_a_joint_have_to_know_where_it_is() -> None:
    side, wanted = 8, torch.zeros(1, 18, 3)
    wanted[0, 4] = torch.tensor([0.4, 0.6, 1.0])
    right = wanted[:, None, :, :2].expand(1, side * side, 18, 2).clone()
    assert losses.keypoint_votes(right, wanted) == 0
    far, near = right.clone(), right.clone()
    far[0, 0, 4] += 0.3  # the patch in the corner
    near[0, 4 * side + 3, 4] += 0.3
    assert losses.keypoint_votes(far, wanted) == 0
    assert losses.keypoint_votes(near, wanted) > 0.1
    assert losses.keypoint_votes(right + 0.3, torch.zeros(1, 18, 3)) == 0  # no joint, nothing to know


def test_near_identity_wants_true_views_above_impostors_on_the_anchors_background() -> None:
    subjects, backgrounds = torch.arange(4).repeat_interleave(4), torch.arange(4).repeat(4)
    codes = torch.eye(8)
    perfect, copying = codes[subjects], codes[4 + backgrounds]
    leaking = perfect + 1.2 * copying
    good, leaky, bad = (
        float(losses.near_identity(each, subjects, backgrounds, alpha=0.0)) for each in (perfect, leaking, copying)
    )
    assert good < 0.01 < leaky < bad
    # the second term wants those on the anchor's background above others, which a little background does
    ranked = [
        float(
            losses.near_identity(each, subjects, backgrounds)
            - losses.near_identity(each, subjects, backgrounds, alpha=0.0)
        )
        for each in (perfect, perfect + 0.1 * copying)
    ]
    assert ranked[1] < ranked[0]


def test_near_identity_takes_a_view_before_the_same_background_where_there_is_no_other() -> None:
    features = torch.randn(4, 8, generator=torch.Generator().manual_seed(0), requires_grad=True)
    alike = losses.near_identity(features, torch.tensor([0, 0, 1, 1]), torch.zeros(4, dtype=torch.long))
    assert alike.item() > 0
    alike.backward()
    assert torch.isfinite(features.grad).all()
    alone = losses.near_identity(features, torch.zeros(4, dtype=torch.long), torch.arange(4))
    assert alone.item() == 0
