"""Captions, their labels and the tokenizer made from them."""

import pytest
import torch

from tinyworld.training.captions import (
    CONTEXT,
    attribute_values,
    build_tokenizer,
    caption,
    labels,
    pointed,
    tokenize,
    vocabulary,
)
from tinyworld.training.renders import EVALUATION_SEED, STUDIO_SEED, scene_of
from tinyworld.world.identity import article
from tinyworld.world.render import sample_scene


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer(400)


def draws(seed, count=60):
    scene = sample_scene(seed)
    return scene, [caption(scene, torch.Generator().manual_seed(i)) for i in range(count)]


@pytest.mark.parametrize("seed", [0, 1, 2, 3])
def test_a_caption_says_what_it_claims_to_say(seed):
    scene, found = draws(seed)
    who = scene.identity
    for text, named in found:
        assert ("skin" in named) == (f"{who.skin} skin" in text)
        assert ("build" in named) == (f"{who.build}-built" in text)
        assert ("bottom" in named) == (who.bottom in text)
        assert ("kind" in named) == (scene.background.prompt() in text)


def test_captions_are_full_partial_and_of_one_kind():
    scene, found = draws(5, 200)
    everything = set(attribute_values(scene))
    kinds = {frozenset(named) for _, named in found}
    assert frozenset(everything) in kinds
    assert frozenset(scene.background.attributes()) in kinds
    assert frozenset(scene.identity.attributes()) in kinds
    assert len(kinds) > 6


@pytest.mark.parametrize("hat", ["none", "beanie"])
def test_a_pointed_caption_leaves_out_one_attribute_or_puts_the_hat_on_last(hat):
    scene = next(s for s in map(sample_scene, range(99)) if s.identity.hat == hat)
    who, place = scene.identity, scene.background.prompt()
    texts = {pointed(scene, torch.Generator().manual_seed(i)) for i in range(200)}
    one_less = {f"{who.prompt({name})}, {place}" for name in who.attributes() if not name.startswith("hat")}
    assert one_less <= texts
    edits = texts - one_less
    assert all(text.endswith(f" wearing {article(f'{who.hat_color} {who.hat}')}, {place}") for text in edits)
    assert (len(edits) > 10) == (hat != "none")


def test_labels_are_zero_where_nothing_is_named_and_follow_the_vocabulary():
    scene = sample_scene(7)
    known = vocabulary(300)
    values = [attribute_values(scene)] * 2
    found = labels(values, [{"skin"}, set(values[0])], known)
    assert found["skin"].tolist() == [1 + known["skin"].index(scene.identity.skin)] * 2
    assert found["shirt_color"].tolist() == [0, 1 + known["shirt_color"].index(scene.identity.shirt_color)]


def test_words_of_the_world_are_single_tokens_and_round_trip(tokenizer):
    text = "a person with dark skin, wearing a red striped shirt and green trousers, on a beach at sunset"
    words = tokenizer.tokenize(text)
    assert {"red</w>", "striped</w>", "shirt</w>", "trousers</w>", "beach</w>"} <= set(words)
    ids = tokenizer(text).input_ids
    assert tokenizer.decode(ids, skip_special_tokens=True).replace(" ,", ",").strip() == text
    assert (ids[0], ids[-1]) == (tokenizer.bos_token_id, tokenizer.eos_token_id)


def test_every_caption_fits_the_context(tokenizer):
    texts = [f"{s.identity.prompt()}, {s.background.prompt()}" for s in map(sample_scene, range(300))]
    assert tokenize(tokenizer, texts).shape == (300, CONTEXT)
    assert max(len(tokenizer(text).input_ids) for text in texts) <= CONTEXT


def test_studio_scenes_stand_mostly_before_plain_walls_and_only_there():
    studio = [scene_of(STUDIO_SEED + i) for i in range(400)]
    plain = [s for s in studio if s.background.kind == "plain"]
    assert 0.7 < len(plain) / 400 < 0.85
    assert 0.4 < sum(s.background.variant == "grey" for s in plain) / len(plain) < 0.8
    for seed in (0, 17, EVALUATION_SEED + 3):
        assert scene_of(seed).background == sample_scene(seed).background
    assert all(s.identity == sample_scene(STUDIO_SEED + i).identity for i, s in enumerate(studio))
