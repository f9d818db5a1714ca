from __future__ import annotations

from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from app.diffusion.guidance.attention_bias import OPTION, Span
from app.diffusion.models.clip_vision import VisionFeatures
from app.diffusion.models.style import Redux, StyleAdapter
from app.errors import InvalidRequest, Missing, UnknownFamily
from app.settings import Settings

torch.manual_seed(1)
SEEN = VisionFeatures(torch.randn(2, 3, 8), torch.zeros(2, 3, 8), torch.zeros(2, 4))
PROMPT = [[torch.randn(1, 4, 6), {"kept": 1}]]


@pytest.fixture
def load(bench: Any, installation: Settings) -> Any:
    """load(module) → the style model of such a file."""
    folder = installation.directories.base / "models" / "style_models"

    def loaded(state: dict[str, torch.Tensor]) -> Any:
        folder.mkdir(parents=True, exist_ok=True)
        save_file(state, folder / "style.safetensors")
        return bench("StyleModelLoader", style_model_name="style.safetensors")

    return loaded


def applied(bench: Any, model: Any, **more: Any) -> Any:
    given = {"conditioning": PROMPT, "style_model": model, "clip_vision_output": SEEN, **more}
    return bench("StyleModelApply", **given)


def test_pictures_become_words_after_the_prompts(bench: Any, load: Any) -> None:
    model = load(Redux(8, 24, 6).state_dict())
    assert isinstance(model, Redux)
    ((features, options),) = applied(bench, model)
    assert torch.equal(features[:, :4], PROMPT[0][0])
    with torch.no_grad():
        words = model(SEEN.last_hidden_state.to(model.redux_up.weight)).float().flatten(0, 1)
    torch.testing.assert_close(features[0, 4:], words)
    assert options == {"kept": 1}
    half = applied(bench, model, strength=0.5)
    torch.testing.assert_close(half[0][0][0, 4:], 0.5 * words)


def test_the_strength_may_be_that_of_looking(bench: Any, load: Any) -> None:
    model = load(Redux(8, 24, 6).state_dict())
    ((features, options),) = applied(bench, model, strength=0.5, strength_type="attn_bias")
    assert torch.equal(features, applied(bench, model)[0][0])
    assert options == {"kept": 1, OPTION: [Span(4, 6, 0.5)]}
    assert OPTION not in applied(bench, model, strength_type="attn_bias")[0][1]


def test_the_style_adapter_is_told_by_its_tensors(bench: Any, load: Any) -> None:
    model = load(StyleAdapter(8, 6, tokens=2, layers=1).state_dict())
    assert isinstance(model, StyleAdapter)
    assert applied(bench, model)[0][0].shape == (1, 4 + 2 * 2, 6)


def test_what_does_not_fit_is_told(bench: Any, load: Any) -> None:
    with pytest.raises(Missing, match="gone") as told:
        bench("StyleModelLoader", style_model_name="gone.safetensors")
    assert told.value.input_name == "style_model_name"
    with pytest.raises(UnknownFamily, match="style model"):
        load({"lora_up.weight": torch.ones(2, 2)})
    with pytest.raises(InvalidRequest, match="width 6 and 5"):
        applied(bench, load(Redux(8, 24, 5).state_dict()))


def test_a_prompt_is_drawn_with_weighed_words(bench: Any) -> None:
    model, clip, _ = bench("CheckpointLoaderSimple", ckpt_name="tiny.safetensors")
    said = bench("CLIPTextEncode", clip=clip, text="red")
    width = said[0][0].shape[-1]
    style = StyleAdapter(8, width, tokens=2, layers=1).requires_grad_(False)
    style.proj.data.normal_()
    given = {"conditioning": said, "style_model": style, "clip_vision_output": SEEN}
    latent = {"samples": torch.zeros(1, 4, 4, 4)}

    def drawn(positive: Any) -> torch.Tensor:
        parts = {"model": model, "positive": positive, "negative": said, "latent_image": latent}
        return bench("KSampler", **parts, steps=2, cfg=30.0, seed=1, sampler_name="euler")["samples"]

    hidden = bench("StyleModelApply", **given, strength=0.0, strength_type="attn_bias")
    torch.testing.assert_close(drawn(hidden), drawn(said), rtol=0.05, atol=0.05)
    assert torch.isfinite(drawn(bench("StyleModelApply", **given, strength=2.0, strength_type="attn_bias"))).all()
