"""A loop by expansion, as packs make them: each round expands to the next."""

from comfy_execution.graph import ExecutionBlocker
from comfy_execution.graph_utils import GraphBuilder, is_link


class Countdown:
    """Adds `step` to `total` as often as `rounds` says."""

    CATEGORY = "loops"
    RETURN_TYPES = ("INT",)
    FUNCTION = "go"

    @classmethod
    def INPUT_TYPES(cls):
        number = ("INT", {"default": 0})
        return {"required": {"rounds": number, "total": number, "step": ("INT", {"default": 1})}}

    def go(self, rounds, total, step):
        if rounds <= 0:
            return (total,)
        graph = GraphBuilder()
        added = graph.node("loops.Add", a=total, b=step)
        again = graph.node("loops.Countdown", rounds=rounds - 1, total=added.out(0), step=step)
        assert is_link(again.out(0))
        return {"result": (again.out(0),), "expand": graph.finalize()}


class Add:
    CATEGORY = "loops"
    RETURN_TYPES = ("INT",)
    FUNCTION = "add"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"a": ("INT", {"forceInput": True}), "b": ("INT", {"default": 1})}}

    def add(self, a, b):
        return (a + b,)


class Gate:
    """Lets through, or blocks."""

    CATEGORY = "loops"
    RETURN_TYPES = ("INT",)
    FUNCTION = "go"

    @classmethod
    def INPUT_TYPES(cls):
        return {"required": {"value": ("INT", {"lazy": True}), "open": ("BOOLEAN", {"default": True})}}

    def check_lazy_status(self, open, value=None):
        return ["value"] if open else []

    def go(self, open, value=None):
        return (value,) if open else (ExecutionBlocker(None),)


NODE_CLASS_MAPPINGS = {"loops.Countdown": Countdown, "loops.Add": Add, "loops.Gate": Gate}
