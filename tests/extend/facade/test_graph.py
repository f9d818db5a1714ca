"""Graphs that nodes build, wrappers, options and what the facade tells of the machine."""

from __future__ import annotations

import importlib
from dataclasses import replace
from typing import Any

import pytest
import torch

from app.context.context import NodeContext
from app.errors import Cancelled
from app.extend.facade.bridge import FacadeHost
from tests.extend.facade.conftest import Said


@pytest.fixture
def graphs(host: FacadeHost) -> Any:
    return importlib.import_module("comfy_execution.graph_utils")


def test_ids_begin_with_the_call_and_are_the_same_next_time(
    graphs: Any, host: FacadeHost, context: NodeContext
) -> None:
    def built() -> list[str]:
        with host.enter(context):
            first, second = graphs.GraphBuilder(), graphs.GraphBuilder()
            first.node("A", x=1)
            first.node("A", id="named")
            second.node("B")
            return [*first.finalize(), *second.finalize()]

    assert built() == ["7.0.0.1", "7.0.0.named", "7.0.1.1"]
    assert built() == built()
    other = replace(context, list_index=2)
    with host.enter(other):
        assert graphs.GraphBuilder().prefix == "7.2.0."


def test_a_graph_is_changed_while_it_is_built(graphs: Any, host: FacadeHost) -> None:
    graph = graphs.GraphBuilder(prefix="p.")
    first, second = graph.node("A"), graph.node("B")
    second.set_input("x", first.out(1))
    second.set_input("y", 3)
    second.set_input("y", None)
    second.set_override_display_id("9")
    assert graph.finalize()["p.2"] == {"class_type": "B", "inputs": {"x": ["p.1", 1]}, "override_display_id": "9"}
    graph.replace_node_output("1", 1, "value")
    assert second.get_input("x") == "value"
    graph.remove_node("1")
    assert graph.lookup_node("1") is None
    assert graph.lookup_node("2") is second


def test_links_are_told_from_lists(graphs: Any) -> None:
    assert graphs.is_link(["1", 0])
    assert not any(graphs.is_link(value) for value in ([1, 0], ["1"], ["1", "0"], ("1", 0), "1"))


def test_a_prefix_goes_before_every_id(graphs: Any) -> None:
    graph = {"1": {"class_type": "A", "inputs": {}}, "2": {"class_type": "B", "inputs": {"x": ["1", 0], "y": [1, 2]}}}
    moved, outputs = graphs.add_graph_prefix(graph, (["2", 0], 5, ["outside", 0]), "q.")
    assert moved["q.2"]["inputs"] == {"x": ["q.1", 0], "y": [1, 2]}
    assert outputs == (["q.2", 0], 5, ["outside", 0])


def test_which_node_runs(host: FacadeHost, context: NodeContext) -> None:
    utils = importlib.import_module("comfy_execution.utils")
    server = importlib.import_module("server").PromptServer.instance
    with host.at_work("job", "client"), host.enter(context):
        assert utils.get_executing_context() == ("job", "7", 0)
        assert (server.client_id, server.last_node_id, server.last_prompt_id) == ("client", "7", "job")
        assert server.prompt_queue.get_tasks_remaining() == 1
        assert server.prompt_queue.get_current_queue()[0][0][1] == "job"
    assert server.client_id is None
    assert server.prompt_queue.currently_running == {}


def test_what_packs_say_is_plain_data(host: FacadeHost, said: Said) -> None:
    server = importlib.import_module("server").PromptServer.instance
    server.send_sync("acme.event", {"shape": torch.Size([1, 2]), "device": torch.device("cpu")}, "c")
    server.send_progress_text("hello", "7")
    server.send_sync(9, b"raw")
    assert said.told == [
        ("acme.event", {"shape": [1, 2], "device": "cpu"}, "c"),
        (3, "AAAAATdoZWxsbw==", None),
        (9, "cmF3", None),
    ]


def test_a_handler_of_prompts_that_fails_is_passed_over(host: FacadeHost) -> None:
    server = importlib.import_module("server").PromptServer.instance
    server.add_on_prompt_handler(lambda data: 1 / 0)
    server.add_on_prompt_handler(lambda data: {**data, "seen": True})
    assert server.trigger_on_prompt({"a": 1}) == {"a": 1, "seen": True}
    assert host.hello()["handlers"] == 2


def test_a_pack_may_stop_the_run(host: FacadeHost) -> None:
    nodes = importlib.import_module("nodes")
    management = importlib.import_module("comfy.model_management")
    asked = host.stops(lambda: False)
    assert not asked()
    nodes.interrupt_processing()
    assert asked()
    assert management.processing_interrupted()
    with pytest.raises(Cancelled):
        nodes.before_node_execution()
    nodes.interrupt_processing(False)
    nodes.before_node_execution()
    assert not asked()


def test_wrappers_call_each_other_in_order(host: FacadeHost) -> None:
    extension = importlib.import_module("comfy.patcher_extension")
    heard: list[str] = []

    def wrap(name: str) -> Any:
        def call(executor: Any, value: int) -> int:
            heard.append(name)
            assert executor.class_obj == "owner"
            return executor(value) + 1

        return call

    options: dict[str, Any] = {}
    extension.add_wrapper("kind", wrap("a"), options)
    extension.add_wrapper_with_key("kind", "mine", wrap("b"), options)
    wrappers = extension.get_all_wrappers("kind", options)
    executor = extension.WrapperExecutor.new_class_executor(lambda value: value * 10, "owner", wrappers)
    assert executor.execute(2) == 22
    assert heard == ["a", "b"]
    assert extension.get_all_callbacks("kind", options) == []


def test_options_are_merged_and_copied(host: FacadeHost) -> None:
    extension = importlib.import_module("comfy.patcher_extension")
    first = {"a": {"x": [1]}, "b": 1}
    merged = extension.merge_nested_dicts(first, {"a": {"x": [2], "y": 3}, "b": 2})
    assert merged == {"a": {"x": [1, 2], "y": 3}, "b": 2}
    assert first == {"a": {"x": [1]}, "b": 1}
    copied = extension.copy_nested_dicts(first)
    copied["a"]["x"].append(9)
    assert first["a"]["x"] == [1]


def test_the_machine(host: FacadeHost) -> None:
    mm = importlib.import_module("comfy.model_management")
    assert mm.get_free_memory() > 0
    assert mm.get_total_memory() >= mm.get_free_memory()
    assert mm.get_total_memory(torch_total_too=True)[0] > 0
    assert (mm.vram_state, mm.cpu_state) == (mm.VRAMState.DISABLED, mm.CPUState.CPU)
    assert mm.cpu_mode() and not mm.is_nvidia() and not mm.mps_mode()
    assert mm.get_torch_device_name(mm.get_torch_device()) == "cpu"
    assert mm.module_size(torch.nn.Linear(2, 2, bias=False)) == 16
    assert mm.cast_to_device(torch.ones(2), "cpu", torch.float64).dtype == torch.float64
    assert mm.unet_manual_cast(torch.float16, torch.device("cpu")) == torch.float32
    assert mm.unet_manual_cast(torch.float32, torch.device("cpu")) is None
    assert mm.dtype_size(torch.float16) == 2
    with pytest.raises(AttributeError, match="nonsense"):
        _ = mm.nonsense


def test_the_command_line(host: FacadeHost) -> None:
    args = importlib.import_module("comfy.cli_args").args
    assert (args.port, args.cpu, args.get("nonsense", 5)) == (8188, False, 5)
    assert args.preview_method.value == "auto"
    args.fast.add("x")
    args.fast.discard("x")
    with pytest.raises(AttributeError, match="no option"):
        _ = args.nonsense


def test_conditions_share_calls_where_they_can(host: FacadeHost) -> None:
    conds = importlib.import_module("comfy.conds")
    short, long = conds.CONDCrossAttn(torch.ones(1, 2, 4)), conds.CONDCrossAttn(torch.ones(1, 4, 4))
    assert short.can_concat(long)
    assert short.concat([long]).shape == (2, 4, 4)
    assert not short.can_concat(conds.CONDCrossAttn(torch.ones(1, 77, 4)))
    shaped = conds.CONDNoiseShape(torch.arange(16.0).view(1, 1, 4, 4)).process_cond(2, (2, 3, 1, 0))
    assert shaped.cond.shape == (2, 1, 2, 3)
    assert conds.CONDConstant("a").can_concat(conds.CONDConstant("a"))
    assert conds.CONDList([torch.ones(1, 2)]).concat([conds.CONDList([torch.ones(1, 2)])])[0].shape == (2, 2)


def test_any_type_differs_from_nothing(host: FacadeHost) -> None:
    IO = importlib.import_module("comfy.comfy_types").IO
    differs = [IO.ANY != "IMAGE", IO.NUMBER != "INT", IO.IMAGE != "MASK"]
    assert differs == [False, False, True]
    assert IO.IMAGE == "IMAGE"


async def test_a_prompt_is_validated_for_packs(host: FacadeHost) -> None:
    execution = importlib.import_module("execution")
    image = {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}}
    shown = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    assert (await execution.validate_prompt("id", {"1": image, "2": shown}))[:3] == (True, None, ["2"])
    valid, error, _, _ = await execution.validate_prompt("id", {"1": {"class_type": "None", "inputs": {}}})
    assert not valid
    assert "None" in error["message"]
