"""`comfy.model_base`: a model as packs see it: the network, its levels and its latent format."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Mapping
from enum import Enum
from typing import Any

import torch
from torch import Tensor, nn

from app.diffusion.adapters.twin import settle
from app.diffusion.model import DiffusionModel
from app.diffusion.models.hooks import NetworkHooks
from app.diffusion.models.narrow import narrow_layer
from app.diffusion.models.recording import WORN
from app.diffusion.parameterization import V
from app.diffusion.process import FLOW as FLOW_PROCESS
from app.extend.facade.comfy import patcher_extension as extension
from app.extend.facade.comfy import supported_models
from app.extend.facade.comfy.latent_formats import NativeLatent
from app.extend.facade.comfy.model_sampling import NativeSampling
from app.extend.facade.comfy.network_facts import NAMES, facts_of
from app.extend.facade.comfy.network_patches import hooks_of
from app.extend.facade.comfy.supported_models import family_of
from app.extend.facade.comfy.supported_models_base import BASE


class ModelType(Enum):
    """What a network predicts."""

    EPS = 1
    V_PREDICTION = 2
    V_PREDICTION_EDM = 3
    STABLE_CASCADE = 4
    EDM = 5
    FLOW = 6
    V_PREDICTION_CONTINUOUS = 7
    FLUX = 8
    IMG_TO_IMG = 9
    FLOW_COSMOS = 10


class BaseModel(nn.Module):
    """A native model under the names that packs use.

    `weights` are tensors that stand in for the network's own while it is called, by name within the network.
    """

    def __init__(self, native: DiffusionModel, weights: Mapping[str, Tensor] | None = None) -> None:
        super().__init__()
        settle(native.network)  # packs look at weights themselves, which our adapters change at the first use
        self.native = native
        self.weights = dict(weights or {})
        self.diffusion_model: nn.Module = native.network
        self.model_sampling = NativeSampling(native.sampling)
        self.latent_format = NativeLatent(native.latent, native.preview)
        self.model_type = _type_of(native)
        self.model_config = family_of(facts_of(getattr(native.network, "config", None)))
        self.model_config.latent_format = self.latent_format
        self.adm_channels = int(getattr(getattr(native.network, "config", None), "vector_width", 0))
        self.manual_cast_dtype = None
        self.concat_keys: tuple[str, ...] = ()
        self.memory_usage_factor = 2.0
        self.current_patcher: Any = None

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return next(self.diffusion_model.parameters()).device

    def get_dtype(self) -> torch.dtype:
        """The precision of the network."""
        return self.native.dtype

    def is_adm(self) -> bool:
        """Whether the network takes a vector beside the prompt."""
        return self.adm_channels > 0

    def process_latent_in(self, latent: Tensor) -> Tensor:
        """A first stage's latent in the model's scale."""
        return self.latent_format.process_in(latent)

    def process_latent_out(self, latent: Tensor) -> Tensor:
        """The inverse."""
        return self.latent_format.process_out(latent)

    def memory_required(self, input_shape: Any, cond_shapes: Any = None) -> float:
        """Bytes that a call on such a latent takes, roughly."""
        area = input_shape[0] * torch.Size(input_shape[2:]).numel()
        return area * self.get_dtype().itemsize * 0.01 * self.memory_usage_factor * (1 << 20)

    def extra_conds(self, **kwargs: Any) -> dict[str, Any]:
        """What the network takes beside features: added where conditions meet the latent."""
        return {}

    def scale_latent_inpaint(self, sigma: Tensor, noise: Tensor, latent_image: Tensor, **_: Any) -> Tensor:
        """What an inpaint mask keeps, noised to a level."""
        return self.model_sampling.noise_scaling(sigma, noise, latent_image)

    def apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        """The clean latent that the model expects under x [B, C, h, w] at level t [B]."""
        options = transformer_options or {}
        wrappers = extension.get_all_wrappers(extension.WrappersMP.APPLY_MODEL, options)
        inner = extension.WrapperExecutor.new_class_executor(self._apply_model, self, wrappers)
        return inner.execute(x, t, c_concat, c_crossattn, control, options, **kwargs)

    def _apply_model(
        self,
        x: Tensor,
        t: Tensor,
        c_concat: Tensor | None = None,
        c_crossattn: Tensor | None = None,
        control: Any = None,
        transformer_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> Tensor:
        given = {"c_concat": c_concat, "c_crossattn": c_crossattn, **kwargs}
        conditions = {NAMES.get(k, k): getattr(v, "cond", v) for k, v in given.items() if v is not None}
        options = transformer_options or {}
        if hooks := self._steered(control) | (hooks_of(options) or NetworkHooks()):
            conditions["hooks"] = hooks
        with swapped(self.diffusion_model, self.weights):
            return self._call(x, t, options, conditions)

    def _steered(self, control: Any) -> NetworkHooks:
        """A ControlNet's residuals as hooks. Raises InvalidRequest for networks that have no place for them."""
        from app.extend.facade.comfy.controlnet import residuals_of

        return NetworkHooks() if control is None else residuals_of(control, self.diffusion_model).hooks()

    def _call(self, x: Tensor, t: Tensor, options: dict[str, Any], conditions: dict[str, Any]) -> Tensor:
        wrappers = extension.get_all_wrappers(extension.WrappersMP.DIFFUSION_MODEL, options)
        denoise: Callable[..., Tensor] = self.native.denoiser()
        if wrappers:
            network: Any = denoise.network  # pyright: ignore[reportFunctionMemberAccess]
            executor = extension.WrapperExecutor.new_class_executor(network, network, wrappers)
            denoise = type(denoise)(executor.execute, self.native.sampling, self.native.dtype)  # pyright: ignore
        return denoise(x, t, **conditions)


def _type_of(native: DiffusionModel) -> ModelType:
    if native.sampling.process is FLOW_PROCESS:
        return ModelType.FLOW
    return ModelType.V_PREDICTION if native.sampling.prediction is V else ModelType.EPS


class SD21UNCLIP(BaseModel):
    """Stable Diffusion 2.1 that is shown a picture."""


class SDXLRefiner(BaseModel):
    """The refiner of SDXL."""


class SDXL(BaseModel):
    """SDXL and its smaller kin."""


class SD3(BaseModel):
    """Stable Diffusion 3 and 3.5."""


class Flux(BaseModel):
    """Flux.1."""


# What a family's model is for packs; those that are not here are plain ones.
KINDS: Mapping[type[BASE], type[BaseModel]] = {
    supported_models.SD21UnclipL: SD21UNCLIP,
    supported_models.SD21UnclipH: SD21UNCLIP,
    supported_models.SDXLRefiner: SDXLRefiner,
    supported_models.SDXL: SDXL,
    supported_models.SD3: SD3,
    supported_models.Flux: Flux,
    supported_models.FluxSchnell: Flux,
}


def _kind_of(native: DiffusionModel) -> type[BaseModel]:
    family = family_of(facts_of(getattr(native.network, "config", None)))
    return next((KINDS[kind] for kind in type(family).__mro__ if kind in KINDS), BaseModel)


@contextlib.contextmanager
def swapped(network: nn.Module, weights: Mapping[str, Tensor]) -> Generator[None]:
    """Inside, the network has these tensors in place of its own of those names."""
    with contextlib.ExitStack() as undo:
        undo.callback(network.__dict__.__setitem__, WORN, network.__dict__.get(WORN))
        network.__dict__[WORN] = weights or None
        for name, tensor in weights.items():
            layer = narrow_layer(network, name)
            if layer is not None:
                undo.enter_context(layer.holding(tensor.to(layer.stored.device)))
                continue
            parameter = network.get_parameter(name)
            undo.callback(setattr, parameter, "data", parameter.data)
            parameter.data = tensor.to(parameter.device, parameter.dtype)
        yield


def model_of(native: DiffusionModel) -> BaseModel:
    """The model as packs see it; the same object as long as it is the same native model."""
    kept: BaseModel | None = native.network.__dict__.get("_for_packs")
    if kept is None or kept.native.sampling is not native.sampling or kept.native.latent != native.latent:
        kept = _kind_of(native)(native)
        # Not registered as a part of the network, of which it is the owner.
        native.network.__dict__["_for_packs"] = kept
    return kept
