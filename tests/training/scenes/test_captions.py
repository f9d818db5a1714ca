"""Captions say what they are asked to say, in words that the tokenizer knows."""

from __future__ import annotations

import random

from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.training.scenes.captions import FULL, all_words, caption
from app.training.scenes.scene import Scene, Shape, random_scene


def test_full_captions() -> None:
    rng = random.Random(1)
    red_circle = Shape(0, 0, 1, 0.2, 0.2, 0.2)
    blue_ring = Shape(5, 2, 0, 0.7, 0.2, 0.1)
    single = Scene("single", 0, (red_circle,), cell=0)
    assert caption(single, rng, FULL) == "a large red circle in the top left on a white background"
    orange = Scene("single", 1, (Shape(0, 5, 1, 0.2, 0.5, 0.2),), cell=3)
    assert caption(orange, rng, FULL) == "a large orange circle on the left on a black background"
    pair = Scene("pair", 2, (red_circle, blue_ring), relation=0)
    assert caption(pair, rng, FULL) == "a large red circle left of a small blue ring on a gray background"
    group = Scene("count", 4, (blue_ring, blue_ring))
    assert caption(group, rng, FULL) == "two small blue rings on a navy background"


def test_free_captions_vary_and_leave_things_out() -> None:
    rng = random.Random(2)
    scene = random_scene(rng, kind="single")
    said = {caption(scene, rng) for _ in range(200)}
    assert len(said) > 20
    assert any("background" not in text for text in said)


def test_every_word_is_known_and_one_token() -> None:
    rng = random.Random(3)
    tokenizer = Tokenizer(learn_merges([*all_words(), ","]))
    words = set(all_words())
    for _ in range(500):
        text = caption(random_scene(rng), rng)
        assert set(text.replace(",", "").split()) <= words
        assert len(tokenizer.encode(text)) == len(text.replace(",", " ,").split())
        assert len(tokenizer.encode(text)) <= 30
