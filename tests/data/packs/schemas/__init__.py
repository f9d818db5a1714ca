"""A pack of the second style: schemas, an entry point, nothing else."""

import asyncio
from enum import Enum

import torch
from comfy_api.latest import ComfyExtension, io, ui


class Mode(Enum):
    UP = "up"
    DOWN = "down"


class Gain(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="schemas.Gain",
            display_name="Gain",
            category="schemas/image",
            description="Makes an image brighter.",
            search_aliases=["brighten"],
            inputs=[
                io.Image.Input("image", tooltip="the image"),
                io.Float.Input("gain", default=1.0, min=0.0, max=4.0, step=0.05, display_mode=io.NumberDisplay.slider),
                io.Combo.Input("mode", options=Mode, default=Mode.UP),
                io.Mask.Input("mask", optional=True),
            ],
            outputs=[io.Image.Output(display_name="brighter"), io.Float.Output(id="used")],
        )

    @classmethod
    def execute(cls, image, gain, mode, mask=None):
        factor = gain if mode == "up" else 1 / gain
        return io.NodeOutput((image * factor).clamp(0, 1), factor)

    @classmethod
    def validate_inputs(cls, gain):
        return True if gain != 0.5 else "half is forbidden"


class Slow(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="schemas.Slow",
            category="schemas",
            inputs=[io.Int.Input("number", default=1)],
            outputs=[io.Int.Output()],
            hidden=[io.Hidden.unique_id],
        )

    @classmethod
    async def execute(cls, number):
        await asyncio.sleep(0.01)
        assert cls.hidden.unique_id
        assert cls.hidden.prompt is None
        return io.NodeOutput(number + 1)


class Gathered(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        template = io.Autogrow.TemplatePrefix(io.Int.Input("number"), prefix="n", min=1, max=8)
        return io.Schema(
            node_id="schemas.Gathered",
            category="schemas",
            inputs=[
                io.Autogrow.Input("numbers", template=template),
                io.DynamicCombo.Input(
                    "how",
                    options=[
                        io.DynamicCombo.Option("sum", []),
                        io.DynamicCombo.Option("scaled", [io.Int.Input("factor", default=2)]),
                    ],
                ),
            ],
            outputs=[io.Int.Output()],
        )

    @classmethod
    def execute(cls, numbers, how):
        total = sum(numbers.values())
        return io.NodeOutput(total * how["factor"] if how["how"] == "scaled" else total)


class Passed(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        template = io.MatchType.Template("T")
        return io.Schema(
            node_id="schemas.Passed",
            category="schemas",
            inputs=[io.MatchType.Input("value", template=template), io.Boolean.Input("stop", default=False)],
            outputs=[io.MatchType.Output(template=template, id="same")],
        )

    @classmethod
    def execute(cls, value, stop):
        return io.NodeOutput(value, block_execution="stopped" if stop else None)


class Shown(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(
            node_id="schemas.Shown",
            category="schemas",
            inputs=[io.AnyType.Input("value")],
            outputs=[],
            is_output_node=True,
        )

    @classmethod
    def fingerprint_inputs(cls, value):
        return "always"

    @classmethod
    def execute(cls, value):
        assert cls.hidden.prompt
        if isinstance(value, torch.Tensor) and value.ndim == 4:
            return io.NodeOutput(ui=ui.PreviewImage(value, cls=cls))
        return io.NodeOutput(ui=ui.PreviewText(str(value)))


class Leaky(io.ComfyNode):
    @classmethod
    def define_schema(cls):
        return io.Schema(node_id="schemas.Leaky", category="schemas", inputs=[], outputs=[io.Int.Output()])

    @classmethod
    def execute(cls):
        cls.kept = 1
        return io.NodeOutput(1)


class Extension(ComfyExtension):
    async def get_node_list(self):
        return [Gain, Slow, Gathered, Passed, Shown, Leaky]


async def comfy_entrypoint():
    return Extension()
