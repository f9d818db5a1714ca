"""What is no text encoder says so when it is taken for one, and is a module like others otherwise."""

from __future__ import annotations

import pytest

from app.diffusion.conditioning.text_encoder import PromptEncoder
from app.diffusion.models.bert import BertConfig
from app.diffusion.models.class_embedder import ClassEmbedder
from app.diffusion.models.layout_embedder import LayoutEmbedder
from app.diffusion.models.spatial_rescaler import SpatialRescaler
from app.diffusion.models.wordless import OF_TEXT_ENCODERS
from app.errors import InvalidRequest

WORDLESS = {
    "classes": ClassEmbedder(5, 8),
    "maps of classes": SpatialRescaler(5, 3),
    "boxes": LayoutEmbedder(BertConfig(16, 8, 1, 8)),
}


@pytest.mark.parametrize("told", WORDLESS)
def test_prompts_are_refused(told: str) -> None:
    for name in OF_TEXT_ENCODERS:
        with pytest.raises(InvalidRequest, match=f"it is told {told}") as caught:
            getattr(WORDLESS[told], name)
        assert "Conditioning" in caught.value.remedy


def test_everything_that_text_encoders_have_is_refused() -> None:
    assert {name for name in vars(PromptEncoder) if not name.startswith("_")} == OF_TEXT_ENCODERS


def test_it_is_a_module_like_others() -> None:
    embedder = WORDLESS["classes"]
    assert embedder.embedding.num_embeddings == 5
    assert len(list(embedder.parameters())) == 1
    with pytest.raises(AttributeError):
        embedder.anything  # noqa: B018
