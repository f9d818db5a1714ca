"""Classes of the first style."""

import os
import time

import folder_paths
import torch
from comfy.utils import ProgressBar, common_upscale
from server import PromptServer

from nodes import MAX_RESOLUTION, PreviewImage, SaveImage, VAEDecode, VAEEncode


class AnyType(str):
    """The usual trick for an input that takes everything."""

    def __ne__(self, other):
        return False


ANY = AnyType("*")


class Flexible(dict):
    """Inputs of any name."""

    def __contains__(self, key):
        return True

    def __getitem__(self, key):
        return (ANY,)


class ResizeTo:
    """Resizes, with progress."""

    CATEGORY = "utility/image"
    RETURN_TYPES = ("IMAGE", "INT", "INT")
    RETURN_NAMES = ("image", "width", "height")
    OUTPUT_TOOLTIPS = ("the resized image",)
    FUNCTION = "resize"
    DESCRIPTION = "Resizes an image."
    SEARCH_ALIASES = ("scale",)

    @classmethod
    def INPUT_TYPES(cls):
        side = {"default": 32, "min": 1, "max": MAX_RESOLUTION}
        return {
            "required": {
                "image": ("IMAGE",),
                "width": ("INT", side),
                "height": ("INT", side),
                "method": (["nearest-exact", "bilinear", "lanczos"], {"tooltip": "how"}),
            },
            "optional": {"crop": ("BOOLEAN", {"default": False, "label_on": "crop", "label_off": "stretch"})},
        }

    def resize(self, image, width, height, method, crop=False):
        bar = ProgressBar(len(image))
        resized = []
        for picture in image:
            planes = picture[None].movedim(-1, 1)
            planes = common_upscale(planes, width, height, method, "center" if crop else "disabled")
            resized.append(planes.movedim(1, -1))
            bar.update(1)
        return torch.cat(resized), width, height


class ThroughLatent:
    """Calls built-in nodes as packs do."""

    CATEGORY = "utility/latent"
    RETURN_TYPES = ("IMAGE",)
    FUNCTION = "go"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"image": ("IMAGE",), "vae": ("VAE",)}}

    def go(self, image, vae):
        latent = VAEEncode().encode(vae, image)[0]
        assert torch.equal(latent["samples"], vae.encode(image[:, :, :, :3]))
        return VAEDecode().decode(vae, latent)


class Joined:
    """Joins whatever is linked, in the order of the names."""

    CATEGORY = "utility/logic"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "join"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"between": ("STRING", {"default": "-"})}, "optional": Flexible()}

    def join(self, between, **parts):
        return (between.join(str(parts[name]) for name in sorted(parts)),)


class Listed:
    """Makes a list, and one sum of a list."""

    CATEGORY = "utility/list"
    RETURN_TYPES = ("INT",)
    OUTPUT_IS_LIST = (True,)
    FUNCTION = "count"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"count": ("INT", {"default": 3, "min": 0})}}

    def count(self, count):
        return (list(range(count)),)


class Summed:
    """Takes whole lists."""

    CATEGORY = "utility/list"
    RETURN_TYPES = ("INT",)
    INPUT_IS_LIST = True
    FUNCTION = "sum"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"numbers": ("INT", {"forceInput": True}), "times": ("INT", {"default": 1})}}

    def sum(self, numbers, times):
        return (sum(numbers) * times[0],)


class Clock:
    """Never the same, unless told to stand still."""

    CATEGORY = "utility/time"
    RETURN_TYPES = ("FLOAT",)
    FUNCTION = "tell"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"stand_still": ("BOOLEAN", {"default": False})}}

    @classmethod
    def IS_CHANGED(cls, stand_still):
        return 0 if stand_still else float("nan")

    def tell(self, stand_still):
        return (time.monotonic(),)


class Picky:
    """Checks its inputs."""

    CATEGORY = "utility/checks"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "go"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"text": ("STRING", {"default": "good"})}}

    @classmethod
    def VALIDATE_INPUTS(cls, text):
        return True if text.startswith("good") else f"{text} is not good"

    def go(self, text):
        return (text,)


class Show(PreviewImage):
    """Shows a text, says it to the page, and tells who asked."""

    CATEGORY = "utility/text"
    RETURN_TYPES = ("STRING",)
    FUNCTION = "show"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls):
        return {
            "required": {"value": (ANY, {})},
            "hidden": {"unique_id": "UNIQUE_ID", "prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"},
        }

    def show(self, value, unique_id=None, prompt=None, extra_pnginfo=None):
        server = PromptServer.instance
        server.send_sync("utility.shown", {"node": unique_id, "value": str(value)}, server.client_id)
        return {"ui": {"text": [str(value)]}, "result": (str(value),)}


class SaveHere(SaveImage):
    """Extends a built-in class."""

    CATEGORY = "utility/image"

    def save_images(self, images, filename_prefix="here", prompt=None, extra_pnginfo=None):
        result = super().save_images(images, filename_prefix, prompt, extra_pnginfo)
        for entry in result["ui"]["images"]:
            path = os.path.join(folder_paths.get_output_directory(), entry["subfolder"], entry["filename"])
            assert os.path.isfile(path)
        return result


NODE_CLASS_MAPPINGS = {
    f"utility.{kind.__name__}": kind
    for kind in (ResizeTo, ThroughLatent, Joined, Listed, Summed, Clock, Picky, Show, SaveHere)
}
NODE_DISPLAY_NAME_MAPPINGS = {"utility.ResizeTo": "Resize To"}
