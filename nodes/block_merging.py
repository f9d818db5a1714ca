"""Nodes that merge two models of one family with a ratio for each block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from app.api import Model, Options, Range, node
from app.diffusion.adapters.merge import by_beginning
from nodes.merging import merged_models, mixture

Ratio = Annotated[float, Range(0.0, 1.0, step=0.01), Options(default=1.0)]


def _numbered(beginning: str, count: int, end: str = ".") -> list[str]:
    return [f"{beginning}.{index}{end}" for index in range(count)]


def _u_net(blocks: int, end: str) -> list[str]:
    """The parts of a U-Net with so many blocks on each way."""
    down, middle, up = (
        _numbered(name, count, end)
        for name, count in (("input_blocks", blocks), ("middle_block", 3), ("output_blocks", blocks))
    )
    return ["time_embed.", "label_emb.", *down, *middle, *up, "out."]


def _joint(blocks: int) -> list[str]:
    """The parts of a transformer of Stable Diffusion 3 with so many blocks."""
    first = ["pos_embed.", "x_embedder.", "context_embedder.", "y_embedder.", "t_embedder."]
    return [*first, *_numbered("joint_blocks", blocks), "final_layer."]


FLUX = [
    *("img_in.", "time_in.", "guidance_in", "vector_in.", "txt_in."),
    *_numbered("double_blocks", 19),
    *_numbered("single_blocks", 38),
    "final_layer.",
]


def _merging(id: str, parts: Sequence[str]):
    @node(id, category="advanced/model_merging/model_specific", id=id, further=parts, aliases=("mix", "block weights"))
    def merge(*, model1: Model, model2: Model, **ratios: Ratio) -> Model:
        """Mixes two models of one family, with a ratio for each block: how much of the first model there is.

        Args:
            model1: The model that a ratio of 1 takes a block from.
            model2: The model that a ratio of 0 takes a block from.
        """
        return merged_models(model1, model2, mixture(by_beginning(ratios)))

    return merge


merge_sd1 = _merging("ModelMergeSD1", _u_net(12, "."))
merge_sd2 = _merging("ModelMergeSD2", _u_net(12, "."))
merge_sdxl = _merging("ModelMergeSDXL", _u_net(9, ""))
merge_sd3_2b = _merging("ModelMergeSD3_2B", _joint(24))
merge_sd35_large = _merging("ModelMergeSD35_Large", _joint(38))
merge_flux = _merging("ModelMergeFlux1", FLUX)
