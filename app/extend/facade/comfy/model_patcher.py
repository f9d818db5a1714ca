"""`comfy.model_patcher`: a model with changes that its clones can have without sharing them.

`native_of` gives what our own nodes take, `patcher_of` the way back. Weights are changed by tensors that stand in for
the network's own during a call, so nothing has to be undone.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from app.diffusion.denoiser import Denoiser
from app.diffusion.model import DiffusionModel
from app.extend.facade.comfy import patcher_extension as extension
from app.extend.facade.comfy.lora import calculate_weight
from app.extend.facade.comfy.model_base import BaseModel, model_of
from app.extend.facade.comfy.model_sampling import sampling_of
from app.extend.facade.comfy.utils import get_attr
from app.extend.facade.host import HOST
from app.memory.residency import module_bytes

PREFIX = "diffusion_model."


def create_model_options_clone(orig_model_options: dict[str, Any]) -> dict[str, Any]:
    """A copy whose dicts and lists are copies too."""
    return extension.copy_nested_dicts(orig_model_options)


def set_model_options_patch_replace(
    model_options: dict[str, Any],
    patch: Callable[..., Any],
    name: str,
    block_name: str,
    number: int,
    transformer_index: int | None = None,
) -> dict[str, Any]:
    """The options with a function in place of a block's attention."""
    options = extension.copy_nested_dicts(model_options)
    place = (block_name, number) if transformer_index is None else (block_name, number, transformer_index)
    replaced = options.setdefault("transformer_options", {}).setdefault("patches_replace", {})
    replaced.setdefault(name, {})[place] = patch
    return options


def set_model_options_post_cfg_function(
    model_options: dict[str, Any], post_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
) -> dict[str, Any]:
    """The options with one more function after guidance."""
    return _with_function(model_options, "sampler_post_cfg_function", post_cfg_function, disable_cfg1_optimization)


def set_model_options_pre_cfg_function(
    model_options: dict[str, Any], pre_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
) -> dict[str, Any]:
    """The options with one more function before guidance."""
    return _with_function(model_options, "sampler_pre_cfg_function", pre_cfg_function, disable_cfg1_optimization)


def _with_function(options: dict[str, Any], name: str, function: Callable[..., Any], both: bool) -> dict[str, Any]:
    changed = extension.copy_nested_dicts(options)
    changed[name] = [*changed.get(name, []), function]
    if both:
        changed["disable_cfg1_optimization"] = True
    return changed


class ModelPatcher:
    """A model and its changes. Clone it, change the clone."""

    def __init__(
        self,
        model: Any,
        load_device: Any = None,
        offload_device: Any = None,
        size: int = 0,
        weight_inplace_update: bool = False,
    ) -> None:
        self.model = model
        self.load_device = load_device or HOST.now.device
        self.offload_device = offload_device or torch.device("cpu")
        self.size = size
        self.weight_inplace_update = weight_inplace_update
        self.patches: dict[str, list[Any]] = {}
        self.object_patches: dict[str, Any] = {}
        self.object_patches_backup: dict[str, Any] = {}
        self.backup: dict[str, Any] = {}
        self.model_options: dict[str, Any] = {"transformer_options": {}}
        self.attachments: dict[str, Any] = {}
        self.injections: dict[str, list[Any]] = {}
        self.is_injected = self.is_running = False
        self.additional_models: dict[str, list[Any]] = {}
        self.callbacks: extension.Keyed = {}
        self.wrappers: extension.Keyed = {}
        self.patches_uuid = uuid.uuid4()
        self.parent: ModelPatcher | None = None
        self._made: tuple[uuid.UUID, dict[str, Tensor]] | None = None

    # ------------------------------------------------------------ copies and facts

    def clone(self) -> Any:
        """A copy whose changes are its own; the weights are shared."""
        made = self.__class__.__new__(self.__class__)
        made.__dict__.update(self.__dict__)
        made.patches = {name: list(values) for name, values in self.patches.items()}
        for name in ("object_patches", "attachments"):
            setattr(made, name, dict(getattr(self, name)))
        for name in ("model_options", "injections", "additional_models", "callbacks", "wrappers"):
            setattr(made, name, extension.copy_nested_dicts(getattr(self, name)))
        made.parent, made.is_injected, made.is_running = self, False, False
        for callback in self.get_all_callbacks(extension.CallbacksMP.ON_CLONE):
            callback(self, made)
        return made

    def is_clone(self, other: Any) -> bool:
        """Whether both are of one model."""
        mine, its = getattr(self.model, "diffusion_model", self.model), getattr(other, "model", None)
        return mine is getattr(its, "diffusion_model", its)

    def clone_has_same_weights(self, clone: Any) -> bool:
        """Whether both change the weights alike."""
        return self.is_clone(clone) and self.patches_uuid == clone.patches_uuid

    def changed(self) -> bool:
        """Whether anything differs from the model itself."""
        own = {name: value for name, value in self.model_options.items() if value}
        return bool(own or self.patches or self.object_patches or self.injections or self.callbacks or self.wrappers)

    def model_size(self) -> int:
        """Bytes of the weights."""
        return self.size or (module_bytes(self.model) if isinstance(self.model, nn.Module) else 0)

    def loaded_size(self) -> int:
        """Bytes of the weights that are on the device."""
        return self.model_size() if self.current_loaded_device() == self.load_device else 0

    def lowvram_patch_counter(self) -> int:
        """Weights that are changed as they are used: none, they are ready before."""
        return 0

    def current_loaded_device(self) -> torch.device:
        """Where the weights are now."""
        return next((p.device for p in self.model.parameters()), self.offload_device)

    def memory_required(self, input_shape: Any) -> float:
        """Bytes that a call on such a latent takes, roughly."""
        return self.model.memory_required(input_shape)

    def model_dtype(self) -> torch.dtype | None:
        """The precision of the network."""
        return self.model.get_dtype() if hasattr(self.model, "get_dtype") else None

    @property
    def diffusion_network(self) -> nn.Module:
        """The network whose weights move between memories."""
        return getattr(self.model, "diffusion_model", self.model)

    def get_model_object(self, name: str) -> Any:
        """The part of the model at a dotted name, as changed here."""
        return self.object_patches[name] if name in self.object_patches else get_attr(self.model, name)

    def model_state_dict(self, filter_prefix: str | None = None) -> dict[str, Tensor]:
        """The weights by name."""
        found: dict[str, Tensor] = self.model.state_dict()
        return {name: value for name, value in found.items() if not filter_prefix or name.startswith(filter_prefix)}

    # ------------------------------------------------------------ changes

    def add_patches(
        self, patches: Mapping[Any, Any], strength_patch: float = 1.0, strength_model: float = 1.0
    ) -> list[Any]:
        """weight → strength_model · weight + strength_patch · patch; gives the keys that the model has."""
        known = self.model.state_dict()
        taken: list[Any] = []
        for key, value in patches.items():
            name, offset, function = _place(key)
            if name in known:
                self.patches.setdefault(name, []).append((strength_patch, value, strength_model, offset, function))
                taken.append(key)
        self.patches_uuid = uuid.uuid4()
        return taken

    def get_key_patches(self, filter_prefix: str | None = None) -> dict[str, list[Any]]:
        """Each weight with its changes, in the form that merging nodes pass on."""
        return {
            name: [(value, _as_it_is), *self.patches.get(name, [])]
            for name, value in self.model_state_dict(filter_prefix).items()
        }

    def add_object_patch(self, name: str, obj: Any) -> None:
        """Put another object at a dotted name, for this clone."""
        self.object_patches[name] = obj

    def set_model_sampler_cfg_function(
        self, sampler_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
    ) -> None:
        """Guide by this function: of the arguments as a dict, or of (cond, uncond, scale)."""
        import inspect

        if len(inspect.signature(sampler_cfg_function).parameters) == 3:
            three = sampler_cfg_function

            def of_dict(args: Mapping[str, Any]) -> Any:
                return three(args["cond"], args["uncond"], args["cond_scale"])

            sampler_cfg_function = of_dict
        self.model_options["sampler_cfg_function"] = sampler_cfg_function
        if disable_cfg1_optimization:
            self.model_options["disable_cfg1_optimization"] = True

    def set_model_sampler_post_cfg_function(
        self, post_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
    ) -> None:
        """Call this after guidance."""
        self.model_options = set_model_options_post_cfg_function(
            self.model_options, post_cfg_function, disable_cfg1_optimization
        )

    def set_model_sampler_pre_cfg_function(
        self, pre_cfg_function: Callable[..., Any], disable_cfg1_optimization: bool = False
    ) -> None:
        """Call this before guidance."""
        self.model_options = set_model_options_pre_cfg_function(
            self.model_options, pre_cfg_function, disable_cfg1_optimization
        )

    def set_model_sampler_calc_cond_batch_function(self, sampler_calc_cond_batch_function: Callable[..., Any]) -> None:
        """Ask the model through this function."""
        self.model_options["sampler_calc_cond_batch_function"] = sampler_calc_cond_batch_function

    def set_model_unet_function_wrapper(self, unet_wrapper_function: Callable[..., Any]) -> None:
        """Call the network through this function."""
        self.model_options["model_function_wrapper"] = unet_wrapper_function

    def set_model_denoise_mask_function(self, denoise_mask_function: Callable[..., Any]) -> None:
        """Let this function change an inpaint mask at each level."""
        self.model_options["denoise_mask_function"] = denoise_mask_function

    @property
    def _transformer_options(self) -> dict[str, Any]:
        return self.model_options.setdefault("transformer_options", {})

    def set_model_patch(self, patch: Callable[..., Any], name: str) -> None:
        """Call this at the place of that name inside the network."""
        self._transformer_options.setdefault("patches", {}).setdefault(name, []).append(patch)

    def set_model_patch_replace(
        self,
        patch: Callable[..., Any],
        name: str,
        block_name: str,
        number: int,
        transformer_index: int | None = None,
    ) -> None:
        """Call this in place of a block's part."""
        self.model_options = set_model_options_patch_replace(
            self.model_options, patch, name, block_name, number, transformer_index
        )

    def set_model_attn1_patch(self, patch: Callable[..., Any]) -> None:
        """Change the inputs of self-attention."""
        self.set_model_patch(patch, "attn1_patch")

    def set_model_attn2_patch(self, patch: Callable[..., Any]) -> None:
        """Change the inputs of cross-attention."""
        self.set_model_patch(patch, "attn2_patch")

    def set_model_attn1_replace(self, patch: Callable[..., Any], *place: Any, **named: Any) -> None:
        """Compute self-attention of a block."""
        self.set_model_patch_replace(patch, "attn1", *place, **named)

    def set_model_attn2_replace(self, patch: Callable[..., Any], *place: Any, **named: Any) -> None:
        """Compute cross-attention of a block."""
        self.set_model_patch_replace(patch, "attn2", *place, **named)

    def set_model_attn1_output_patch(self, patch: Callable[..., Any]) -> None:
        """Change what self-attention gives."""
        self.set_model_patch(patch, "attn1_output_patch")

    def set_model_attn2_output_patch(self, patch: Callable[..., Any]) -> None:
        """Change what cross-attention gives."""
        self.set_model_patch(patch, "attn2_output_patch")

    def set_model_input_block_patch(self, patch: Callable[..., Any]) -> None:
        """Change what a block on the way down gives."""
        self.set_model_patch(patch, "input_block_patch")

    def set_model_input_block_patch_after_skip(self, patch: Callable[..., Any]) -> None:
        """The same, but not for the way up."""
        self.set_model_patch(patch, "input_block_patch_after_skip")

    def set_model_output_block_patch(self, patch: Callable[..., Any]) -> None:
        """Change what a block on the way up is given."""
        self.set_model_patch(patch, "output_block_patch")

    def set_model_middle_block_patch(self, patch: Callable[..., Any]) -> None:
        """Change what the middle of a U-Net gives: {x, h, transformer_options} → {h}."""
        self.set_model_patch(patch, "middle_patch")

    def set_model_double_block_patch(self, patch: Callable[..., Any]) -> None:
        """Change what a block of a transformer gives, {img, txt, x, block_index, …} → {img, txt}."""
        self.set_model_patch(patch, "double_block")

    def set_model_post_input_patch(self, patch: Callable[..., Any]) -> None:
        """Change the tokens that a transformer begins with, {img, txt, img_ids, txt_ids} → the same."""
        self.set_model_patch(patch, "post_input")

    def set_model_compute_dtype(self, dtype: torch.dtype) -> None:
        """Remember the precision that a pack wants."""
        self.model_options["compute dtype"] = dtype

    # ------------------------------------------------------------ wrappers, callbacks, company

    def add_callback(self, call_type: str, callback: Callable[..., Any]) -> None:
        """Call this at that moment."""
        self.add_callback_with_key(call_type, None, callback)

    def add_callback_with_key(self, call_type: str, key: str | None, callback: Callable[..., Any]) -> None:
        """Call this at that moment; the key takes it away again."""
        self.callbacks.setdefault(call_type, {}).setdefault(key, []).append(callback)

    def remove_callbacks_with_key(self, call_type: str, key: str) -> None:
        """Take callbacks away."""
        self.callbacks.get(call_type, {}).pop(key, None)

    def get_callbacks(self, call_type: str, key: str | None) -> list[Callable[..., Any]]:
        """The callbacks under a key."""
        return self.callbacks.get(call_type, {}).get(key, [])

    def get_all_callbacks(self, call_type: str) -> list[Callable[..., Any]]:
        """All callbacks of a moment."""
        return [each for group in self.callbacks.get(call_type, {}).values() for each in group]

    def add_wrapper(self, wrapper_type: str, wrapper: Callable[..., Any]) -> None:
        """Wrap that step."""
        self.add_wrapper_with_key(wrapper_type, None, wrapper)

    def add_wrapper_with_key(self, wrapper_type: str, key: str | None, wrapper: Callable[..., Any]) -> None:
        """Wrap that step; the key takes it away again."""
        self.wrappers.setdefault(wrapper_type, {}).setdefault(key, []).append(wrapper)

    def remove_wrappers_with_key(self, wrapper_type: str, key: str) -> None:
        """Take wrappers away."""
        self.wrappers.get(wrapper_type, {}).pop(key, None)

    def get_wrappers(self, wrapper_type: str, key: str | None) -> list[Callable[..., Any]]:
        """The wrappers under a key."""
        return self.wrappers.get(wrapper_type, {}).get(key, [])

    def get_all_wrappers(self, wrapper_type: str) -> list[Callable[..., Any]]:
        """All wrappers of a step."""
        return [each for group in self.wrappers.get(wrapper_type, {}).values() for each in group]

    def set_attachments(self, key: str, attachment: Any) -> None:
        """Keep something of a pack's own with the model."""
        self.attachments[key] = attachment

    def get_attachment(self, key: str) -> Any:
        """What was kept under a key, or None."""
        return self.attachments.get(key)

    def remove_attachments(self, key: str) -> None:
        """Forget it."""
        self.attachments.pop(key, None)

    def set_injections(self, key: str, injections: list[Any]) -> None:
        """Put these into the model while it samples."""
        self.injections[key] = injections

    def get_injections(self, key: str) -> list[Any] | None:
        """What is put in under a key."""
        return self.injections.get(key)

    def remove_injections(self, key: str) -> None:
        """Put it in no more."""
        self.injections.pop(key, None)

    def set_additional_models(self, key: str, models: list[Any]) -> None:
        """Load these together with the model."""
        self.additional_models[key] = models

    def get_additional_models_with_key(self, key: str) -> list[Any]:
        """The models under a key."""
        return self.additional_models.get(key, [])

    def get_additional_models(self) -> list[Any]:
        """All models that are loaded together with this one."""
        return [each for group in self.additional_models.values() for each in group]

    def model_patches_to(self, device: Any) -> None:
        """Move objects of patches that can be moved."""
        options: dict[str, Any] = self._transformer_options
        for name, functions in options.get("patches", {}).items():
            options["patches"][name] = [f.to(device) if hasattr(f, "to") else f for f in functions]

    def detach(self, unpatch_all: bool = True) -> Any:
        """Let go of the device."""
        self._call_back(extension.CallbacksMP.ON_DETACH, unpatch_all)
        return self.model

    def pre_run(self) -> None:
        """Before a run: packs are told, and put in what they have to put in."""
        self.is_running = True
        self._call_back(extension.CallbacksMP.ON_PRE_RUN)
        self.inject_model()

    def prepare_state(self, timestep: Any) -> None:
        """Before the model is asked at a level."""
        self._call_back(extension.CallbacksMP.ON_PREPARE_STATE, timestep)

    def cleanup(self) -> None:
        """After a run: what was put in is taken out."""
        self.is_running = False
        self.eject_model()
        self._call_back(extension.CallbacksMP.ON_CLEANUP)

    def inject_model(self) -> None:
        """Let packs put in what they have to; once until it is taken out."""
        if self.is_injected or not self.injections:
            return
        self.is_injected = True
        for injections in self.injections.values():
            for injection in injections:
                injection.inject(self)
        self._call_back(extension.CallbacksMP.ON_INJECT_MODEL)

    def eject_model(self) -> None:
        """Take it out again, the last first."""
        if not self.is_injected:
            return
        self.is_injected = False
        for injections in reversed(self.injections.values()):
            for injection in reversed(injections):
                injection.eject(self)
        self._call_back(extension.CallbacksMP.ON_EJECT_MODEL)

    def _call_back(self, moment: str, *said: Any) -> None:
        for callback in self.get_all_callbacks(moment):
            callback(self, *said)

    # ------------------------------------------------------------ at work

    def run_options(self, given: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The options (of the model, or those given) as a run takes them: with wrappers and callbacks inside."""
        options = extension.copy_nested_dicts(self.model_options if given is None else given)
        merged = {"wrappers": self.wrappers, "callbacks": self.callbacks}
        options["transformer_options"] = extension.merge_nested_dicts(options.get("transformer_options", {}), merged)
        return options

    def on(self, native: DiffusionModel) -> ModelPatcher:
        """The same changes, of another model with the same names of weights."""
        made: ModelPatcher = self.clone()
        made.model = model_of(native)
        made._made = None
        return made

    def patched_weights(self) -> dict[str, Tensor]:
        """The changed weights by name within the network, computed once per change."""
        if self._made is None or self._made[0] != self.patches_uuid:
            with torch.inference_mode(False), torch.no_grad():
                made = {
                    name.removeprefix(PREFIX): calculate_weight(values, get_attr(self.model, name).detach(), name)
                    for name, values in self.patches.items()
                }
            self._made = (self.patches_uuid, made)
        return self._made[1]

    def patch_model(self, *_: Any, **__: Any) -> Any:
        """The model as it samples: with this clone's weights and objects."""
        return self.at_work()

    def unpatch_model(self, *_: Any, **__: Any) -> None:
        """Nothing to take back: the model itself was never changed."""

    def at_work(self) -> BaseModel:
        """The model as it samples."""
        native: DiffusionModel = self.model.native
        said = self.object_patches.get("model_sampling")
        if said is not None:
            native = replace(native, sampling=sampling_of(said))
        working = self.model if native is self.model.native and not self.patches else self._variant(native)
        for name, obj in self.object_patches.items():
            owner, _, last = name.rpartition(".")
            if working is not self.model and not owner:
                working.__dict__.pop(last, None)
                setattr(working, last, obj)
        working.current_patcher = self
        return working

    def _variant(self, native: DiffusionModel) -> BaseModel:
        made: BaseModel = self.model.__class__.__new__(self.model.__class__)
        BaseModel.__init__(made, native, self.patched_weights())
        return made


def _as_it_is(weight: Tensor) -> Tensor:
    return weight


def _place(key: Any) -> tuple[str, Any, Any]:
    """(name, part of the tensor, function) of a patch's key."""
    if isinstance(key, str):
        return key, None, None
    parts: Sequence[Any] = key
    return parts[0], parts[1], parts[2] if len(parts) > 2 else None


@dataclass(frozen=True, slots=True)
class PatchedModel(DiffusionModel):
    """A native model with a pack's changes: our samplers take it like any other."""

    patcher: Any = None

    def denoiser(self) -> Any:
        """denoise(x, sigma, **conditions) with the changes."""
        from app.extend.facade.comfy.samplers import conditioned

        return conditioned(self._at_work(), self.patcher.model_options)

    def guided(self, positive: Sequence[Any], negative: Sequence[Any], cfg: float, like: Tensor) -> Denoiser:
        """A guided denoiser as the pack's functions shape it; see `drawing.Guiding`."""
        from app.extend.facade.comfy.samplers import GuidedByOptions

        self.patcher.pre_run()
        return GuidedByOptions(self._at_work(), positive, negative, cfg, self.patcher)

    def company(self) -> Any:
        """See `drawing.Guiding`."""
        from app.extend.facade.comfy.runs import PatchedRun

        return PatchedRun(self.patcher)

    def whole(self, positive: Sequence[Any], negative: Sequence[Any], cfg: float) -> Any:
        """See `drawing.Guiding`."""
        from app.extend.facade.comfy.runs import whole_of_model

        return whole_of_model(self, positive, negative, cfg)

    def _at_work(self) -> BaseModel:
        patcher: ModelPatcher = self.patcher
        if patcher.diffusion_network is not self.network:  # one of our nodes has changed the weights since
            patcher = patcher.on(replace(patcher.model.native, network=self.network))
        working = patcher.at_work()
        if working.native.sampling is self.sampling:
            return working
        return BaseModel(replace(working.native, sampling=self.sampling), working.weights)


def native_of(patcher: ModelPatcher) -> Any:
    """The model as our own nodes take it."""
    native = getattr(patcher.model, "native", None)
    if native is None or not patcher.changed():
        return native if native is not None else patcher
    said = patcher.object_patches.get("model_sampling")
    parts = {part.name: getattr(native, part.name) for part in fields(DiffusionModel)}
    if said is not None:
        parts["sampling"] = sampling_of(said)
    return PatchedModel(**parts, patcher=patcher.clone())


def patcher_of(native: DiffusionModel) -> ModelPatcher:
    """The model as packs take it."""
    if not isinstance(native, PatchedModel):
        return ModelPatcher(model_of(native))
    patcher: ModelPatcher = native.patcher.clone()
    if patcher.diffusion_network is not native.network:
        patcher = patcher.on(replace(patcher.model.native, network=native.network))
    if patcher.at_work().native.sampling is not native.sampling:  # one of our nodes has changed the levels since
        from app.extend.facade.comfy.model_sampling import NativeSampling

        patcher.add_object_patch("model_sampling", NativeSampling(native.sampling))
    return patcher
