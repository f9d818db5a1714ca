"""The networks that steer, whatever their kind: which model each fits, what it is shown, what it answers.

B latents, C channels, h × w latent pixels, H × W pixels
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard, cast

from torch import Tensor, nn

from app.diffusion.adapters.twin import settle
from app.diffusion.control_hints import PIXELS, LatentFollower, in_turn, sized
from app.diffusion.control_residuals import Residuals, repeated, spread, stretched
from app.diffusion.model import DiffusionModel
from app.diffusion.models.controlnet import ControlNet
from app.diffusion.models.controlnet_adapter import T2IAdapter
from app.diffusion.models.controlnet_flux import FluxControl
from app.diffusion.models.controlnet_flux_misto import MistoControl
from app.diffusion.models.controlnet_sd3 import SD3Control, SD3ImageControl, placed_tokens
from app.diffusion.models.flux import Flux
from app.diffusion.models.mmdit import MMDiT
from app.diffusion.models.unet import UNet
from app.diffusion.working import working_dtype
from app.errors import InvalidRequest

Network = ControlNet | T2IAdapter | FluxControl | SD3Control | SD3ImageControl
FAMILIES = {768: "Stable Diffusion 1", 1024: "Stable Diffusion 2", 2048: "SDXL", 1280: "the SDXL refiner"}
ALTERNATING = 2  # residuals of MistoLine that take turns (forward_mistoCN in its modules/utils.py), whatever it has


def follows_latents(network: nn.Module) -> TypeGuard[LatentFollower]:
    """Whether it is shown the latent of a picture, which a VAE makes, rather than the picture."""
    return isinstance(network, SD3Control | SD3ImageControl) or (
        isinstance(network, FluxControl) and not network.config.pictures
    )


def channels_of(network: nn.Module) -> int:
    """The channels of a picture that a network looks at; brightness alone, which any picture has, is 1."""
    if isinstance(network, T2IAdapter):
        return network.config.channels
    return network.config.hint_channels if isinstance(network, ControlNet) else 3


def check_kind(network: nn.Module, model: DiffusionModel, name: str) -> None:
    """Refuse a model whose network is of another kind than the one that this network steers.

    Raises:
        InvalidRequest: names both.
    """
    if isinstance(network, FluxControl):
        what, kind = "Flux", Flux
    elif isinstance(network, SD3Control | SD3ImageControl):
        what, kind = "Stable Diffusion 3", MMDiT
    else:
        what, kind = "U-Nets (Stable Diffusion 1, 2 and XL)", UNet
    if not isinstance(model.network, kind):
        raise InvalidRequest(
            f"The ControlNet {name!r} steers {what}; this model ({model.family}) is of another kind.",
            remedy="Use a model of the family that it was made for.",
        )


def check_fits(network: Network, base: Any, family: str, name: str) -> None:
    """Refuse a model of another size or family; `base` is its network's configuration.

    Raises:
        InvalidRequest: says what differs.
    """
    if isinstance(network, T2IAdapter):
        widths = tuple(base.model_channels * factor for factor in base.channel_mult)
        expected = network.config.widths[: len(widths)] if network.config.xl else network.config.widths
        if widths != expected or network.config.xl != (len(base.channel_mult) == 3):
            raise _refused(name, f"levels of {list(network.config.widths)} channels", f"{list(widths)}", family)
        return
    if isinstance(network, ControlNet):
        mine, remembered = network.config.unet, FAMILIES.get(network.config.unet.context_width or 0)
        facts = ("context_width", "model_channels", "channel_mult", "num_res_blocks", "vector_width")
    elif isinstance(network, FluxControl):
        mine, remembered = network.config.flux, None
        facts = ("width", "heads", "context_width", "vector_width")
    else:
        mine, remembered = network.config.mmdit, None
        reads = isinstance(network, SD3Control)  # a text, but no pooled one
        facts = ("width", "channels", "context_width" if reads else "vector_width")
    for what in facts:
        if getattr(mine, what) != getattr(base, what):
            raise _refused(name, f"{what} {getattr(mine, what)}", f"{getattr(base, what)}", family, remembered)


def _refused(name: str, mine: str, its: str, family: str, made_for: str | None = None) -> InvalidRequest:
    remedy = f"It was made for {made_for}: load" if made_for else "Load"
    return InvalidRequest(
        f"The ControlNet {name!r} does not fit this model ({family}): it has {mine}, the model {its}.",
        remedy=f"{remedy} a model of the same family, or choose another ControlNet.",
    )


def shown(network: Network, hint: Tensor, x: Tensor, parts: int) -> Any:
    """What a network that follows pictures sees in one (B, C, H, W), as it stays for a run on latents shaped as x.

    A batch of x consists of so many `parts`, each of which follows the same pictures in their order.
    """
    weight = next(network.parameters())
    if isinstance(network, T2IAdapter):
        side = network.config.side
        height, width = (-(-length * PIXELS // side) * side for length in x.shape[-2:])
        hint = hint.mean(dim=1, keepdim=True) if network.config.channels == 1 else hint[:, : channels_of(network)]
        inputs, middle = network.placed(network(sized(hint, height, width).to(weight)))
        return Residuals([_in_turn(r, len(x), parts) for r in inputs], _in_turn(middle, len(x), parts))
    assert isinstance(network, ControlNet | FluxControl)
    height, width = (length * PIXELS for length in x.shape[-2:])
    fitting = sized(hint[:, : channels_of(network)], height, width).to(weight)
    return in_turn(network.seen(fitting), len(x), parts)


def _in_turn(value: Tensor | None, count: int, parts: int) -> Tensor | None:
    return None if value is None else in_turn(value, count, parts)


def answered(
    network: Network,
    seen: Any,
    x: Tensor,
    levels: Tensor,
    model: DiffusionModel,
    arguments: Mapping[str, Any],
    task: int | None = None,
) -> Residuals:
    """The residuals of one call, without strength; `seen` is what was shown, `levels` (B,) are those of x.

    The `arguments` hold the network that is steered as well, under its name, where it is not the model's own.
    """
    if isinstance(network, T2IAdapter):
        return seen
    dtype = next(network.parameters()).dtype
    scaled, times = model.sampling.scaled_input(x, levels), model.sampling.timestep(levels)

    def said(*names: str) -> dict[str, Tensor]:
        return {name: arguments[name].to(x.device, dtype) for name in names if name in arguments}

    if isinstance(network, ControlNet):
        *skips, middle = network(scaled.to(dtype), times, seen, **said("context", "vector"), task=task)
        return Residuals((), middle, skips[::-1])
    if isinstance(network, FluxControl):
        told = said("context", "vector", "guidance")
        double, single = network(scaled.to(dtype), times, seen, **told, task=task)
        return _over_flux(network, double, single, cast("Flux", model.network))
    base = cast("MMDiT", arguments.get("network", model.network))
    if isinstance(network, SD3Control):
        joint = stretched(network(scaled.to(dtype), times, seen, **said("context")), base.config.depth)
        return Residuals(double=joint[:-1])  # the last block, in which the text ends, it has been trained without
    settle(base)  # the first call of the model itself comes after this one
    patches = placed_tokens(base, scaled.to(working_dtype(base))).to(dtype)
    return Residuals(double=stretched(network(patches, times, seen, **said("vector")), base.config.depth))


def _over_flux(network: FluxControl, double: list[Tensor], single: list[Tensor], base: Flux) -> Residuals:
    """Residuals for all blocks of the transformer."""
    shape = base.config
    if isinstance(network, MistoControl):
        turns = repeated(double[:ALTERNATING], shape.double), repeated(single[:ALTERNATING], shape.single)
        return Residuals(double=turns[0], single=turns[1], with_text=True)
    share = repeated if network.config.pictures else spread
    return Residuals(double=share(double, shape.double), single=share(single, shape.single))
