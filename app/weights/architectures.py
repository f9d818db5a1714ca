"""What is told of a network or a first stage of no architecture that is known, or that lacks too much to tell."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from torch import nn

from app.diffusion.first_stage import autoencoder_of
from app.diffusion.models.flux import FLUX_DEV, Flux
from app.diffusion.models.mmdit import SD3_MEDIUM, MMDiT
from app.diffusion.models.unet import UNet
from app.diffusion.published import FIRST_STAGES, PUBLISHED, U_NETS
from app.errors import UnknownFamily, UnusableFile
from app.weights.blank import blank
from app.weights.parts import NETWORK_PREFIXES
from app.weights.stored import Tensors

# The parts that every network of an architecture has.
U_NET, SD3, FLUX = "Stable Diffusion's U-Net", "Stable Diffusion 3", "Flux.1"
ARCHITECTURES: Mapping[str, tuple[str, ...]] = {
    U_NET: ("input_blocks", "output_blocks", "time_embed", "out"),
    SD3: ("x_embedder", "context_embedder", "t_embedder", "y_embedder", "pos_embed", "joint_blocks", "final_layer"),
    FLUX: ("img_in", "txt_in", "time_in", "vector_in", "double_blocks", "single_blocks", "final_layer"),
}
OPTIONAL = ("middle_block", "label_emb", "guidance_in")
SHOWN = 4  # names in a message


def unknown_network(tensors: Tensors, name: str) -> UnusableFile:
    """The error for the network of the file `name`: what was looked for, what is nearest and what it lacks of it."""
    names = {_bare(key) for key in tensors}
    parts = {key.split(".")[0] for key in names}
    nearest = max(ARCHITECTURES, key=lambda each: len(parts.intersection(ARCHITECTURES[each])))
    lacking = [part for part in ARCHITECTURES[nearest] if part not in parts]
    foreign = sorted(parts.difference(ARCHITECTURES[nearest], OPTIONAL))
    if not lacking and not foreign:
        return _incomplete(nearest, names, name)
    if len(lacking) == len(ARCHITECTURES[nearest]):
        told = f"It has none of these parts; its first tensors are {_listed(sorted(tensors))}."
    else:
        told = f"The nearest is {nearest}"
        told += f", of which it lacks {_listed(lacking)}" if lacking else ""
        told += f"{';' if lacking else ','} it has {_listed(foreign)} besides." if foreign else "."
    looked_for = "; ".join(f"{each} ({', '.join(parts)})" for each, parts in ARCHITECTURES.items())
    return UnknownFamily(
        f"The file {name!r} holds no diffusion model of an architecture that is known here. "
        f"Looked for were {looked_for}. {told}",
        remedy=f"Choose a model of a family that is known: {', '.join([*PUBLISHED, 'sd3', 'flux'])}.",
    )


def unknown_first_stage(tensors: Tensors, name: str, told: str) -> UnusableFile:
    """The error for tensors of a first stage whose shape cannot be told; `told` stands before their names there."""
    missing = _missing(set(tensors), {each: lambda c=c: autoencoder_of(c) for each, c in FIRST_STAGES.items()})
    if len(missing) < len(tensors):
        return _lacking("VAE", [told + key for key in missing], name)
    return UnknownFamily(
        f"The first stage in {name!r} is not a VAE that is known here: '{told}encoder.conv_in.weight' and "
        f"'{told}decoder.conv_in.weight' were looked for; its first tensors are "
        f"{_listed([told + key for key in sorted(tensors)])}.",
        remedy=f"Known are {', '.join(FIRST_STAGES)} and the small ones.",
    )


def _bare(key: str) -> str:
    return key.removeprefix(next((prefix for prefix in NETWORK_PREFIXES if key.startswith(prefix)), ""))


def _incomplete(nearest: str, names: Collection[str], name: str) -> UnusableFile:
    """All parts are there, so some tensor that tells the shape is missing, or has a shape of its own."""
    built: Mapping[str, Mapping[str, Callable[[], nn.Module]]] = {
        U_NET: {each: lambda config=config: UNet(config) for each, config in U_NETS.items()},
        SD3: {"sd3": lambda: MMDiT(SD3_MEDIUM)},
        FLUX: {"flux": lambda: Flux(FLUX_DEV)},
    }
    missing = _missing(names, built[nearest])
    if missing:
        return _lacking("diffusion model", missing, name)
    return UnusableFile(
        f"The diffusion model in {name!r} has the names of {nearest}, but tensors of other shapes.",
        remedy="It was saved in a form that is not known here; use another copy.",
    )


def _missing(names: Collection[str], built: Mapping[str, Callable[[], nn.Module]]) -> list[str]:
    """The names that tensors lack of the module that they lack least of."""
    with blank():
        expected = [build().state_dict() for build in built.values()]
    return min(([key for key in state if key not in names] for state in expected), key=len)


def _lacking(what: str, missing: list[str], name: str) -> UnusableFile:
    others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
    return UnusableFile(
        f"The {what} in {name!r} lacks the tensor {missing[0]!r}{others}.",
        remedy="It was saved incompletely; use another copy.",
    )


def _listed(names: list[str]) -> str:
    return ", ".join(names[:SHOWN]) + (" …" if len(names) > SHOWN else "") if names else "none"
