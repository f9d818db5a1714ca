"""T5 and BERT from the tensors of a file: any size, any precision."""

from __future__ import annotations

import pytest
import torch

from app.diffusion.models.bert import Bert, BertConfig
from app.diffusion.models.t5 import T5Config, T5Encoder
from app.errors import UnusableFile
from app.weights.language import bert_tower, t5_tower
from app.weights.stored import held

T5 = T5Config(30, 16, 24, 2, 4, 8)
BERT = BertConfig(31_000, 16, 2, 6)
TOKENS, END = torch.tensor([[5, 6, 1]]), torch.tensor([2])


def t5_state(config: T5Config = T5) -> dict[str, torch.Tensor]:
    torch.manual_seed(1)
    return T5Encoder(config).state_dict()


@pytest.mark.parametrize("config", [T5, T5Config(30, 16, 24, 2, 4, 8, gated=False)])
def test_t5s_shape_is_read_off_its_tensors(config: T5Config) -> None:
    state = t5_state(config)
    tower = t5_tower(held(state), "t5.safetensors")
    assert tower.config == config
    whole = T5Encoder(config)
    whole.load_state_dict(state)
    torch.testing.assert_close(tower(TOKENS, END).hidden, whole(TOKENS, END).hidden)


@pytest.mark.parametrize(
    ("stored", "kept"),
    [
        (torch.float16, torch.float16),
        (torch.bfloat16, torch.bfloat16),
        (torch.float8_e4m3fn, torch.bfloat16),
        (torch.float64, torch.bfloat16),
    ],
)
def test_weights_stay_as_they_are_stored_and_compute_in_float32(stored: torch.dtype, kept: torch.dtype) -> None:
    tower = t5_tower(held({name: value.to(stored) for name, value in t5_state().items()}), "t5.safetensors")
    assert {value.dtype for value in tower.parameters()} == {kept}
    assert tower(TOKENS, END).hidden.dtype == torch.float32


def test_the_table_of_tokens_may_have_its_other_name() -> None:
    state = t5_state()
    state["encoder.embed_tokens.weight"] = state.pop("shared.weight")
    assert t5_tower(held(state), "t5.safetensors").config == T5


def test_berts_shape_is_read_off_its_tensors() -> None:
    torch.manual_seed(2)
    whole = Bert(BERT).eval()
    tower = bert_tower(held(whole.state_dict()), "ldm.ckpt", torch.float32)
    assert tower.config == BERT
    torch.testing.assert_close(tower(TOKENS).hidden, whole(TOKENS).hidden)


def test_what_is_missing_is_named() -> None:
    state = t5_state()
    del state["shared.weight"]
    with pytest.raises(UnusableFile, match=r"'t5\.safetensors' holds no whole T5: 'shared\.weight'"):
        t5_tower(held(state), "t5.safetensors")
    with pytest.raises(UnusableFile, match="no whole BERT"):
        bert_tower({}, "ldm.ckpt", torch.float32)
