"""`comfy.sampler_helpers`: what happens around the sampling."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from app.diffusion.control import shared_with_negative
from app.diffusion.sampling import fit_mask
from app.extend.facade.comfy.control_values import conditioning_for_packs
from app.extend.facade.comfy.model_management import load_models_gpu
from app.extend.facade.comfy.patcher_extension import WrapperExecutor, WrappersMP


def prepare_mask(noise_mask: Tensor, shape: Sequence[int], device: Any) -> Tensor:
    """An inpaint mask as (B, C, h, w) of the latent."""
    return fit_mask(noise_mask, noise_mask.new_empty(tuple(shape))).to(device)


def convert_cond(cond: Sequence[Any]) -> list[dict[str, Any]]:
    """Conditioning of the graph, [features, options], as dicts that samplers work with."""
    converted: list[dict[str, Any]] = []
    for entry in conditioning_for_packs(list(cond)):
        if isinstance(entry, dict):
            converted.append(dict(entry))  # pyright: ignore[reportUnknownArgumentType]
            continue
        features, said = entry
        converted.append(
            {**said, "cross_attn": features, "model_conds": dict(said.get("model_conds", {})), "uuid": uuid.uuid4()}
        )
    return converted


def share_controls(conds: Mapping[str, list[dict[str, Any]]]) -> None:
    """Give the negative side those controls of the positive one that are for both; see `control`."""
    positive, negative = conds.get("positive"), conds.get("negative")
    if not positive or not negative:
        return
    first = len(negative)
    for index, control in list(shared_with_negative(positive, negative)):
        entry = {**negative[index], "control": control}
        if negative[index].get("control") is None and index < first:
            negative[index] = entry
        else:
            negative.append(entry)


def get_models_from_cond(cond: Sequence[Mapping[str, Any]], model_type: str) -> list[Any]:
    """The models of a kind that conditions bring, such as "control"."""
    return [entry[model_type] for entry in cond if model_type in entry]


def get_additional_models(conds: Mapping[str, Sequence[Mapping[str, Any]]], dtype: Any) -> tuple[list[Any], int]:
    """(models that conditions bring, bytes that they need)."""
    found: dict[int, Any] = {}
    for entries in conds.values():
        for control in get_models_from_cond(entries, "control"):
            for model in control.get_models() if hasattr(control, "get_models") else ():
                found[id(model)] = model
    return list(found.values()), 0


def cleanup_additional_models(models: Sequence[Any]) -> None:
    """Let models clean up after themselves."""
    for model in models:
        if hasattr(model, "cleanup"):
            model.cleanup()


def prepare_sampling(
    model: Any, noise_shape: Sequence[int], conds: Mapping[str, Any], model_options: Any = None
) -> tuple[Any, Mapping[str, Any], list[Any]]:
    """(the model at work, conditions, models that conditions bring), with the weights on the device.

    What packs have put around this step of the model is called around it.
    """
    wrappers = model.get_all_wrappers(WrappersMP.PREPARE_SAMPLING)
    executor = WrapperExecutor.new_executor(_prepare_sampling, wrappers)
    return executor.execute(model, noise_shape, conds, model_options=model_options)


def _prepare_sampling(
    model: Any, noise_shape: Sequence[int], conds: Mapping[str, Any], model_options: Any = None
) -> tuple[Any, Mapping[str, Any], list[Any]]:
    models, needed = get_additional_models(conds, model.model_dtype())
    models += model.get_additional_models()
    load_models_gpu([model, *models], needed)
    return model.at_work(), conds, models


def cleanup_models(conds: Any, models: Sequence[Any]) -> None:
    """After the sampling."""
    cleanup_additional_models(models)
    controls = [control for entries in conds.values() for control in get_models_from_cond(entries, "control")]
    cleanup_additional_models(list({id(control): control for control in controls}.values()))
