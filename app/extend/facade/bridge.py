"""Values of the engine as packs know them, and back: models, text encoders, first stages, samplers, guiders."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, cast

from torch import Tensor

from app.context.context import NodeContext
from app.diffusion.control import ControlModel
from app.diffusion.denoiser import Denoiser
from app.diffusion.drawing import NOTHING_TOLD, Guider, SamplerChoice, Told
from app.diffusion.first_stage import FirstStage
from app.diffusion.model import DiffusionModel
from app.diffusion.models.clip_vision import ClipVision, VisionFeatures
from app.engine.node import Node
from app.extend.bridge import Tell
from app.extend.facade import folder_paths
from app.extend.facade.comfy.clip_vision import ClipVisionModel, features_of, output_of
from app.extend.facade.comfy.clip_vision import Output as VisionOutput
from app.extend.facade.comfy.control_values import (
    PackSteering,
    conditioning_for_packs,
    conditioning_for_us,
    control_for_us,
    steering_for_packs,
    steering_for_us,
)
from app.extend.facade.comfy.controlnet import ControlBase
from app.extend.facade.comfy.ksamplers import KSAMPLER, native_sampler
from app.extend.facade.comfy.model_patcher import ModelPatcher, native_of, patcher_of
from app.extend.facade.comfy.runs import PatchedRun, sampler_of, whole_of_guider
from app.extend.facade.comfy.sampler_helpers import get_models_from_cond, share_controls
from app.extend.facade.comfy.samplers import CFGGuider, listening, prepare_controls
from app.extend.facade.comfy.sd import CLIP, VAE, PatchedEncoder
from app.extend.facade.host import CurrentJob, Host, running
from app.extend.facade.install import install
from app.extend.facade.pack_site import PackSite
from app.extend.facade.server import PromptServer


class FacadeHost:
    """See `bridge.PackHost`: packs on top of the facade."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self._site: PackSite | None = None
        self._folders = {kind: [str(path) for path in paths] for kind, paths in host.folders.models.items()}

    def open(self, nodes: Mapping[str, Node]) -> None:
        """See `PackHost`."""
        install(self.host)
        self.host.nodes.update(nodes)

    def added(self, nodes: Mapping[str, Node], classes: Mapping[str, Any]) -> None:
        """See `PackHost`."""
        self.host.nodes.update(nodes)
        self.host.classes.update(classes)
        self.host.titles.update({name: node.spec.display_name for name, node in nodes.items()})

    def tell_through(self, tell: Tell) -> None:
        """See `PackDesk`."""
        self.host.tell = tell

    def serve(self, secret: str) -> None:
        """Serve the routes that packs have declared to whoever shows the secret."""
        self._site = PackSite(PromptServer.instance, secret)
        self._site.start()

    def hello(self) -> dict[str, Any]:
        """What the server is told of packs' routes, folders and old classes."""
        known: dict[str, tuple[list[str], Any]] = getattr(folder_paths, "folder_names_and_paths")  # noqa: B009
        own = self._folders
        added = {kind: [p for p in paths if p not in own.get(kind, ())] for kind, (paths, _) in known.items()}
        return {
            "routes": list(self._site.routes) if self._site else [],
            "address": self._site.address if self._site else "",
            "handlers": len(PromptServer.instance.on_prompt_handlers),
            "replacements": [each.to_json() for each in self.host.replacements],
            "folders": {kind: paths for kind, paths in added.items() if paths and kind != "custom_nodes"},
        }

    @contextmanager
    def at_work(self, job_id: str, client_id: str | None) -> Generator[None]:
        """Inside, a job runs: packs see whose it is."""
        self.host.stop.clear()
        self.host.job = CurrentJob(job_id, client_id)
        PromptServer.instance.last_prompt_id = job_id
        try:
            yield
        finally:
            self.host.job = CurrentJob()
            self.host.last = None

    def stops(self, interrupted: Callable[[], bool]) -> Callable[[], bool]:
        """The same question, answered yes as well when a pack has asked for the run to end."""
        stop = self.host.stop
        return lambda: stop.is_set() or interrupted()

    @contextmanager
    def enter(self, context: Any) -> Generator[None]:
        """See `PackHost`."""
        with running(context if isinstance(context, NodeContext) else None):
            yield

    def to_pack(self, value: Any) -> Any:
        """See `PackHost`; of a list, its elements."""
        return [to_pack(each) for each in cast("list[Any]", value)] if type(value) is list else to_pack(value)

    def from_pack(self, value: Any) -> Any:
        """See `PackHost`; of a list, its elements."""
        return [from_pack(each) for each in cast("list[Any]", value)] if type(value) is list else from_pack(value)

    def folder_of(self, options: Any) -> str | None:
        """See `PackHost`."""
        return folder_paths.folder_kind(options)


def to_pack(value: Any) -> Any:
    """One value as packs know it."""
    if isinstance(value, DiffusionModel):
        return patcher_of(value)
    if isinstance(value, FirstStage):
        return VAE(native=value)
    if isinstance(value, PatchedEncoder):
        return value.clip
    if hasattr(value, "encode_chunks") and hasattr(value, "with_layer"):
        return CLIP(native=value)
    if isinstance(value, ClipVision):
        return ClipVisionModel(value)
    if isinstance(value, VisionFeatures):
        return output_of(value)
    if isinstance(value, SamplerChoice):
        return sampler_of(value)
    if isinstance(value, PackSteering):
        return value.control
    if isinstance(value, ControlModel):
        return steering_for_packs(value)
    if type(value) is list:
        return conditioning_for_packs(cast("list[Any]", value))
    return NativeGuider(value) if isinstance(value, Guider) else value


def from_pack(value: Any) -> Any:
    """One value as our own nodes take it."""
    if isinstance(value, ModelPatcher):
        return native_of(value)
    if isinstance(value, VAE):
        return value.native
    if isinstance(value, CLIP):
        return PatchedEncoder(value.clone()) if value.patcher.patches else value.native
    if isinstance(value, KSAMPLER):
        return getattr(value, "native", None) or native_sampler(value)
    if isinstance(value, NativeGuider | ClipVisionModel):
        return value.native
    if isinstance(value, VisionOutput):
        return features_of(value)
    if isinstance(value, ControlBase) or _is_control(value):
        return steering_for_us(value)
    if type(value) is list:
        return conditioning_for_us(cast("list[Any]", value))
    return _guider(value) if isinstance(value, CFGGuider) else value


def _is_control(value: Any) -> bool:
    """Whether it is one that a pack has made from nothing."""
    return all(callable(getattr(value, name, None)) for name in ("get_control", "set_cond_hint", "copy"))


class NativeGuider(CFGGuider):
    """One of our guiders for packs: it knows its model and how to sample."""

    def __init__(self, native: Guider) -> None:
        super().__init__(patcher_of(native.model))
        self.native = native
        self._denoise: Denoiser | None = None

    def predict_noise(
        self, x: Tensor, timestep: Tensor, model_options: dict[str, Any] | None = None, seed: int | None = None
    ) -> Tensor:
        """See `CFGGuider`."""
        if self._denoise is None:
            self._denoise = self.native.denoiser(x, False)
        return self._denoise(x, timestep.flatten()[0])


class _Followed:
    """A pack's guider as one of our guided denoisers."""

    def __init__(self, guider: CFGGuider) -> None:
        self._guider = guider
        guider.model_patcher.pre_run()
        self._options = guider.model_patcher.run_options(guider.model_options)
        guider.inner_model = guider.model_patcher.at_work()
        guider.conds = conds = {name: list(entries) for name, entries in guider.original_conds.items()}
        share_controls(conds)
        for entries in guider.conds.values():
            prepare_controls(guider.inner_model, entries)

    def __call__(self, x: Tensor, sigma: Tensor, /) -> Tensor:
        return self._guider(x, sigma.to(x.device).expand(len(x)), self._options)

    def split(self, x: Tensor, sigma: Tensor, /) -> tuple[Tensor, Tensor]:
        """(guided, unconditional)."""
        heard: list[Tensor] = []
        options = listening(self._options, heard)
        return self._guider(x, sigma.to(x.device).expand(len(x)), options), heard[0]


def _guider(guider: CFGGuider) -> Guider:
    def denoiser(like: Tensor, keep_unconditional: bool, told: Told = NOTHING_TOLD, /) -> Denoiser:
        return _Followed(guider)

    controls = tuple(
        control_for_us(control)
        for entries in guider.original_conds.values()
        for control in get_models_from_cond(entries, "control")
    )
    company = (*controls, PatchedRun(guider.model_patcher))
    return Guider(native_of(guider.model_patcher), denoiser, company, whole_of_guider(guider))
