"""Prompts to features."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.diffusion.conditioning.text_encoder import TextEncoder
from app.diffusion.conditioning.tokenizer import Tokenizer, learn_merges
from app.diffusion.models.clip_text import ClipText, ClipTextConfig
from app.errors import InvalidRequest

TOKENIZER = Tokenizer(learn_merges(["red", "circle"]))


def encoder() -> TextEncoder:
    torch.manual_seed(1)
    return TextEncoder(ClipText(ClipTextConfig(len(TOKENIZER), 16, 2, 2, 8)).eval(), TOKENIZER)


def test_shapes_of_one_and_of_several_chunks() -> None:
    clip = encoder()
    assert clip.encode("red circle").context.shape == (1, 8, 16)
    assert clip.encode("red " * 10).context.shape == (1, 16, 16)
    assert clip.encode("red " * 10).pooled.shape == (1, 16)


def test_a_weight_moves_away_from_the_empty_prompt() -> None:
    clip = encoder()
    plain, empty = clip.encode("red circle").context, clip.encode("").context
    heavy = clip.encode("red (circle:1.5)").context
    torch.testing.assert_close(heavy[:, 2], (empty + 1.5 * (plain - empty))[:, 2])
    torch.testing.assert_close(heavy[:, 1], plain[:, 1])


def test_weight_one_changes_nothing() -> None:
    clip = encoder()
    torch.testing.assert_close(clip.encode("(red:1.0) circle").context, clip.encode("red circle").context)


def test_a_layer_counts_from_the_last_and_one_that_is_not_there_means_the_last() -> None:
    clip = encoder()
    last = clip.encode("red").context
    assert not torch.allclose(clip.with_layer(-2).encode("red").context, last)
    torch.testing.assert_close(clip.with_layer(-3).encode("red").context, last)
    assert clip.layer == -1
    bare = replace(clip, normalise=False)
    assert not torch.allclose(bare.encode("red").context, last)
    torch.testing.assert_close(bare.with_layer(-3).encode("red").context, last)


def test_an_embedding_of_a_words_own_vector_is_that_word() -> None:
    clip = encoder()
    (token,) = TOKENIZER.encode("circle")
    own = clip.model.embed(torch.tensor([[token]]))[0]
    learnt = clip.with_embeddings(lambda name: {"clip_l": own} if name == "mine" else None)
    torch.testing.assert_close(learnt.encode("red embedding:mine").context, clip.encode("red circle").context)
    heavy = learnt.encode("red (embedding:mine:1.5)").context
    torch.testing.assert_close(heavy, clip.encode("red (circle:1.5)").context)


def test_an_embedding_of_another_width_is_named() -> None:
    clip = encoder().with_embeddings(lambda name: {"emb_params": torch.ones(2, 24)})
    with pytest.raises(InvalidRequest, match=r"'mine' has vectors of width 24.* 16 wide") as told:
        clip.encode("red embedding:mine")
    assert told.value.remedy


def test_chunks_and_prompts_of_a_single_tower_go_by_its_name() -> None:
    clip = encoder()
    plain = clip.encode("red").context
    torch.testing.assert_close(clip.encode_chunks(clip.chunks_of("red")).context, plain)
    torch.testing.assert_close(clip.encode_chunks({}).context, clip.encode("").context)
    torch.testing.assert_close(clip.encode_each({"g": "circle", "l": "red"}).context, plain)
    torch.testing.assert_close(clip.encode_each({"g": "red"}).context, plain)
    assert set(clip.towers) == {"l"}
    assert clip.with_lengths(3, 4).chunks("red") == clip.chunks("red")


def plainly(clip: TextEncoder, runs: list[tuple[list[int], float]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Features and pooled of runs of tokens that belong together, by the rules alone: chunks of six, start and end.

    A run of fewer than eight that does not fit begins a new chunk; a longer one is cut.
    """
    start, end, room = TOKENIZER.start, TOKENIZER.end, 6
    chunks: list[list[tuple[int, float]]] = [[]]
    for tokens, weight in runs:
        if len(tokens) > room - len(chunks[-1]) and len(tokens) < 8 and chunks[-1]:
            chunks.append([])
        for token in tokens:
            if len(chunks[-1]) == room:
                chunks.append([])
            chunks[-1].append((token, weight))
    features: list[torch.Tensor] = []
    pooled: list[torch.Tensor] = []
    with torch.no_grad():
        empty = clip.model(torch.tensor([[start] + [end] * 7]), torch.tensor([1])).hidden
        for chunk in chunks:
            tokens = [start, *(token for token, _ in chunk), *[end] * (7 - len(chunk))]
            weights = torch.tensor([1.0, *(weight for _, weight in chunk), *[1.0] * (7 - len(chunk))])
            said = clip.model(torch.tensor([tokens]), torch.tensor([1 + len(chunk)]))
            features.append(empty + weights[None, :, None] * (said.hidden - empty))
            pooled.append(said.pooled)
    return torch.cat(features, dim=1), pooled[0]


@pytest.mark.parametrize(
    ("prompt", "runs"),
    [
        (
            "red circle (red:1.4) red red red circle red",
            [("red circle", 1), ("red", 1.4), ("red red red circle red", 1)],
        ),
        ("(red circle red circle red circle red circle red:0.5) red", [("red circle " * 4 + "red", 0.5), ("red", 1)]),
        (
            "((red)) circle (red red red red red:1.3) (circle:0)",
            [("red", 1.21), ("circle", 1), ("red " * 5, 1.3), ("circle", 0)],
        ),
        ("red red red red red red (circle:-0.5)", [("red " * 6, 1), ("circle", -0.5)]),
    ],
)
def test_a_long_weighted_prompt_is_what_the_rules_say(prompt: str, runs: list[tuple[str, float]]) -> None:
    clip = encoder()
    context, pooled = plainly(clip, [(TOKENIZER.encode(text), weight) for text, weight in runs])
    said = clip.encode(prompt)
    torch.testing.assert_close(said.context, context, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(said.pooled, pooled, atol=1e-5, rtol=1e-5)
    assert context.shape[1] > 8
