"""Our sample packs in the real program: main.py serve, a worker in a process of its own, HTTP and a socket."""

from __future__ import annotations

import io
import json
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from websockets.sync.client import connect

from app.diffusion.models.controlnet import ControlNet, ControlNetConfig
from app.weights.checkpoint import load_checkpoint
from tests.system.conftest import ROOT, Program

PACKS = ROOT / "tests" / "data" / "packs"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Program]:
    base = tmp_path_factory.mktemp("base")
    shutil.copytree(PACKS, base / "custom_nodes", ignore=shutil.ignore_patterns("__pycache__"))
    (base / "custom_nodes" / "off.disabled").mkdir()
    _save_models(base / "models")
    running = Program(base)
    try:
        running.wait_for("/packs")
        _wait_for_worker(running)
        yield running
    finally:
        running.stop()


def _wait_for_worker(program: Program) -> None:
    """Until a worker has told its packs: on a busy machine that may be later than the server's own patience."""
    for _ in range(1200):
        if any(pack["loaded"] for pack in program.get("/api/packs")["packs"]):
            return
        time.sleep(0.1)


def _save_models(folder: Path) -> None:
    """A ControlNet and a LoRA of random weights for the shipped model."""
    (shipped,) = (ROOT / "models" / "checkpoints").glob("*.safetensors")
    unet: Any = load_checkpoint(shipped).family.unet
    torch.manual_seed(5)
    net = ControlNet(ControlNetConfig(unet))
    for parameter in net.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    rows = 2 * unet.model_channels
    layer = "lora_unet_middle_block_1_transformer_blocks_0_attn1_to_q"
    lora = {f"{layer}.lora_up.weight": torch.randn(rows, 2), f"{layer}.lora_down.weight": torch.randn(2, rows)}
    for name, tensors in (("controlnet/edges", net.state_dict()), ("loras/style", lora)):
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(tensors, path)


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def outputs(program: Program, graph: dict[str, Any], **more: Any) -> dict[str, Any]:
    """What a run of the graph shows, by node."""
    status, answer = program.post("/prompt", {"prompt": graph, **more})
    assert status == 200, answer
    entry = program.finished(answer["prompt_id"])
    assert entry["status"]["status_str"] == "success", entry["status"]["messages"]
    return entry["outputs"]


def fetch(program: Program, path: str, data: bytes | None = None, **headers: str) -> tuple[int, bytes, Any]:
    """(status, body, headers) of a request, refusals included."""
    request = urllib.request.Request(program.url + path, data, headers)
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read(), answer.headers
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read(), refusal.headers


# ---------------------------------------------------------------- loading


def test_every_pack_is_told_with_what_it_brought_or_what_is_wrong(program: Program) -> None:
    told = {pack["name"]: pack for pack in program.get("/api/packs")["packs"]}
    assert set(told) == {
        *("broken", "keyframes", "lacking", "loops", "prestart", "routes", "sampling", "schemas", "skipping", "stacks"),
        "utility",
    }
    assert told["utility"]["loaded"] and "utility.ResizeTo" in told["utility"]["nodes"]
    assert told["routes"]["loaded"] and told["routes"]["nodes"] == []
    assert all(pack["seconds"] >= 0 for pack in told.values())
    assert not told["broken"]["loaded"]
    assert told["broken"]["missing"] == ["a_library_that_is_not_installed>=1.0"]
    assert "requirements.txt" in told["broken"]["remedy"]
    assert "comfy.ldm.nowhere" in told["lacking"]["remedy"]
    assert {failure["name"] for failure in program.get("/node_failures")} == {"broken", "lacking"}
    assert "could not be loaded" in (program.base / "log.txt").read_text()


def test_classes_of_both_styles_are_in_the_catalogue(program: Program) -> None:
    info = program.get("/object_info")
    resize = info["utility.ResizeTo"]
    assert resize["display_name"] == "Resize To"
    assert resize["python_module"] == "custom_nodes.utility"
    assert resize["input"]["required"]["method"][0] == ["nearest-exact", "bilinear", "lanczos"]
    gain = info["schemas.Gain"]
    assert gain["input"]["required"]["mode"] == ["COMBO", {"default": "up", "options": ["up", "down"]}]
    assert gain["output_name"] == ["brighter", "used"]
    assert info["schemas.Shown"]["input"]["hidden"] == {"prompt": "PROMPT", "extra_pnginfo": "EXTRA_PNGINFO"}
    assert "halving" in info["sampling.OwnSampler"]["input"]["required"]["sampler_name"][0]
    assert info["LoraLoader"]["category"] == "loaders"


def test_a_prestart_script_runs_before_the_tensor_library(program: Program) -> None:
    graph = {"1": node("prestart.When"), "2": node("utility.Show", value=["1", 0])}
    assert outputs(program, graph)["2"]["text"] == ["before torch"]


# ---------------------------------------------------------------- nodes


def test_images_go_through_both_styles(program: Program) -> None:
    graph = {
        "1": node("EmptyImage", width=16, height=8, batch_size=2, color=0x404040),
        "2": node("utility.ResizeTo", image=["1", 0], width=32, height=24, method="lanczos"),
        "3": node("schemas.Gain", image=["2", 0], gain=2.0, mode="up"),
        "4": node("utility.SaveHere", images=["3", 0], filename_prefix="sub/mine"),
        "5": node("schemas.Shown", value=["3", 0]),
        "6": node("utility.Show", value=["3", 1]),
    }
    shown = outputs(program, graph)
    assert [entry["filename"] for entry in shown["4"]["images"]] == ["mine_00001_.png", "mine_00002_.png"]
    assert (program.base / "output" / "sub" / "mine_00002_.png").is_file()
    assert shown["5"]["images"][0]["type"] == "temp"
    assert fetch(program, f"/view?filename={shown['5']['images'][0]['filename']}&type=temp")[0] == 200
    assert shown["6"]["text"] == ["2.0"]


def test_lists_any_inputs_and_asynchronous_bodies(program: Program) -> None:
    graph = {
        "1": node("utility.Listed", count=4),
        "2": node("schemas.Slow", number=["1", 0]),
        "3": node("utility.Summed", numbers=["2", 0], times=2),
        "4": node("utility.Joined", between="+", b=["3", 0], a="sum"),
        "5": node("utility.Show", value=["4", 0]),
    }
    assert outputs(program, graph)["5"]["text"] == ["sum+20"]


def test_inputs_that_grow_and_choices_with_fields(program: Program) -> None:
    graph = {
        "1": node("schemas.Slow", number=1),
        "2": node("schemas.Gathered", **{"numbers.n0": ["1", 0], "numbers.n1": 5, "how": "scaled", "how.factor": 3}),
        "3": node("utility.Show", value=["2", 0]),
    }
    assert outputs(program, graph)["3"]["text"] == ["21"]


def test_loops_by_expansion_and_gates(program: Program) -> None:
    graph = {
        "1": node("loops.Countdown", rounds=30, total=0, step=2),
        "2": node("loops.Gate", value=["1", 0], open=True),
        "3": node("utility.Show", value=["2", 0]),
        "4": node("loops.Gate", value=["1", 0], open=False),
        "5": node("utility.Show", value=["4", 0]),
    }
    shown = outputs(program, graph)
    assert shown["3"]["text"] == ["60"]
    assert "5" not in shown


def test_a_pack_says_when_it_changed_and_what_it_refuses(program: Program) -> None:
    clock = {"1": node("utility.Clock", stand_still=False), "2": node("utility.Show", value=["1", 0])}
    first, second = (outputs(program, clock)["2"]["text"] for _ in range(2))
    assert first != second
    clock["1"]["inputs"]["stand_still"] = True
    first, second = (outputs(program, clock)["2"]["text"] for _ in range(2))
    assert first == second
    for refused, inputs in (("utility.Picky", {"text": "bad"}), ("schemas.Gain", {"gain": 0.5, "mode": "up"})):
        graph = {
            "0": node("EmptyImage", width=8, height=8, batch_size=1, color=0),
            "1": node(refused, **inputs, **({"image": ["0", 0]} if refused == "schemas.Gain" else {})),
            "2": node("utility.Show", value=["1", 0]),
        }
        status, answer = program.post("/prompt", {"prompt": graph})
        told = json.dumps(answer) if status == 400 else _failure(program, answer["prompt_id"])
        assert "bad is not good" in told or "half is forbidden" in told


def _failure(program: Program, job: str) -> str:
    entry = program.finished(job)
    assert entry["status"]["status_str"] == "error"
    return json.dumps(entry["status"]["messages"])


def test_a_class_cannot_keep_anything(program: Program) -> None:
    graph = {"1": node("schemas.Leaky"), "2": node("utility.Show", value=["1", 0])}
    _, answer = program.post("/prompt", {"prompt": graph})
    assert "cannot be set while a node runs" in _failure(program, answer["prompt_id"])


def test_a_pack_samples_and_patches_the_shipped_model(program: Program) -> None:
    graph = json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())
    graph["3"]["inputs"] |= {"steps": 2}
    graph["20"] = node("sampling.Calmer", model=graph["3"]["inputs"]["model"], part=0.5)
    graph["3"]["inputs"]["model"] = ["20", 0]
    graph["21"] = node("sampling.Prompted", clip=graph["6"]["inputs"]["clip"], text="a red circle")
    graph["3"]["inputs"]["positive"] = ["21", 0]
    inputs = graph["3"]["inputs"]
    graph["22"] = node(
        "sampling.OwnSampler",
        model=["20", 0],
        seed=3,
        steps=2,
        sampler_name="halving",
        scheduler="even",
        positive=["21", 0],
        negative=inputs["negative"],
        latent=inputs["latent_image"],
    )
    graph["23"] = node("VAEDecode", samples=["22", 0], vae=graph["8"]["inputs"]["vae"])
    graph["24"] = node("utility.ThroughLatent", image=["23", 0], vae=graph["8"]["inputs"]["vae"])
    graph["25"] = node("PreviewImage", images=["24", 0])
    shown = outputs(program, graph)
    assert shown["9"]["images"] and shown["25"]["images"]


def steered_graph(**changes: dict[str, Any]) -> dict[str, Any]:
    """The shipped model with stacks, skipped steps and ControlNets of ours and of packs, drawn by our sampler."""
    graph = json.loads((ROOT / "web" / "templates" / "default.api.json").read_text())
    said = graph["3"]["inputs"]
    said |= {"steps": 4, "cfg": 3.0, "sampler_name": "euler"}
    model, clip = said["model"], graph["6"]["inputs"]["clip"]
    graph |= {
        "30": node("ControlNetLoader", control_net_name="edges.safetensors"),
        "31": node("EmptyImage", width=64, height=48, batch_size=1, color=0xFF4000),
        "32": node("keyframes.Weigh", control_net=["30", 0], first=1.0, half=0.5, depth=0.9),
        "33": node("stacks.Stack", lora_name="style.safetensors", strength=0.7, control_net=["32", 0], image=["31", 0]),
        "34": node("keyframes.LoadByPath", name="edges.safetensors"),
        "35": node(
            "stacks.Stack", lora_name="None", strength=0.4, control_net=["34", 0], image=["31", 0], stack=["33", 0]
        ),
        "36": node(
            "stacks.Apply",
            model=model,
            clip=clip,
            positive=said["positive"],
            negative=said["negative"],
            stack=["35", 0],
        ),
        "37": node("keyframes.Stick", prompt=["36", 2], control_net=["30", 0], image=["31", 0]),
        "38": node("skipping.Skip", model=["36", 0]),
        "39": node("skipping.Counted", memory=["38", 1], after=["3", 0]),
        "40": node("utility.Show", value=["36", 4]),
        "41": node("PreviewImage", images=["8", 0]),
    }
    said |= {"model": ["38", 0], "positive": ["37", 0], "negative": ["36", 3]}
    return {**graph, **changes}


def test_packs_of_many_doors_work_together(program: Program) -> None:
    """ControlNets of ours and of packs, one after the other, LoRAs, replaced attention and skipped steps in one run."""
    shown = outputs(program, steered_graph())
    assert shown["40"]["text"] == ["style.safetensors changes 1"]
    counts = dict(line.split(" ") for line in shown["39"]["text"])
    assert counts == {"runs": "1", "asked": "4", "skipped": "4", "in": "1", "out": "1", "cleaned": "1"}
    first = pixels(program, shown["41"]["images"][0])
    still = outputs(program, steered_graph())["41"]["images"][0]
    assert pixels(program, still) == first
    weak = node("keyframes.Weigh", control_net=["30", 0], first=0.0, half=0.0, depth=0.9)
    other = outputs(program, steered_graph(**{"32": weak}))
    assert pixels(program, other["41"]["images"][0]) != first


def pixels(program: Program, entry: dict[str, str]) -> bytes:
    """The colours of a picture that a run showed."""
    query = "&".join(f"{key}={value}" for key, value in entry.items())
    status, body, _ = fetch(program, f"/view?{query}")
    assert status == 200
    return Image.open(io.BytesIO(body)).convert("RGB").tobytes()


def test_what_a_pack_says_reaches_the_client_that_asked(program: Program) -> None:
    url = program.url.replace("http", "ws")
    with connect(f"{url}/ws?clientId=mine") as mine, connect(f"{url}/ws?clientId=other") as other:
        outputs(program, {"1": node("utility.Show", value="hello")}, client_id="mine")
        heard = [json.loads(text) for text in _heard(mine) if isinstance(text, str)]
        told = [message for message in heard if message["type"] == "utility.shown"]
        assert [message["data"] for message in told] == [{"node": "1", "value": "hello"}]
        assert not any("utility.shown" in str(text) for text in _heard(other))


def _heard(socket: Any) -> list[Any]:
    heard = []
    while True:
        try:
            heard.append(socket.recv(timeout=0.3))
        except TimeoutError:
            return heard


# ---------------------------------------------------------------- files


def test_scripts_are_listed_and_served_and_nothing_beside_them(program: Program) -> None:
    assert program.get("/extensions") == ["/extensions/routes/panel.js", "/extensions/utility/text.js"]
    status, body, headers = fetch(program, "/extensions/utility/text.js")
    assert (status, headers["Content-Type"]) == (200, "text/javascript; charset=utf-8")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert b"registerExtension" in body
    assert "sandbox" in fetch(program, "/extensions/utility/page.html")[2]["Content-Security-Policy"]
    for path in ("../tools.py", "%2e%2e/tools.py", "..%2ftools.py", "nowhere.js", ".hidden", "/etc/passwd"):
        assert fetch(program, f"/extensions/utility/{path}")[0] in (403, 404)
    assert fetch(program, "/extensions/nobody/text.js")[0] == 404


def test_examples_and_translations(program: Program) -> None:
    assert program.get("/workflow_templates") == {"utility": ["start"]}
    assert program.get("/api/workflow_templates/utility/start.json")["version"] == 0.4
    assert fetch(program, "/api/workflow_templates/utility/..%2ftools.py")[0] in (403, 404)
    assert program.get("/i18n") == {
        "de": {"greeting": "Hallo", "nodeDefs": {"utility.ResizeTo": {"display_name": "Grösse ändern"}}}
    }


def test_a_kind_of_model_that_a_pack_adds_is_listed(program: Program) -> None:
    assert "acme_styles" in program.get("/models")
    folder = program.base / "models" / "acme_styles"
    folder.mkdir(parents=True)
    (folder / "bold.safetensors").write_bytes(b"")
    assert program.get("/models/acme_styles") == ["bold.safetensors"]


# ---------------------------------------------------------------- routes


@pytest.mark.parametrize("prefix", ["", "/api"])
def test_routes_of_packs_answer(program: Program, prefix: str) -> None:
    assert program.get(f"{prefix}/acme/hello/you?x=1") == {"hello": "you", "query": {"x": "1"}}
    body = bytes(range(256)) * 1000
    headers = {"Content-Type": "application/octet-stream"}
    assert fetch(program, f"{prefix}/acme/echo", body, **headers)[:2] == (201, body)
    status, text, headers = fetch(program, f"{prefix}/acme/stream")
    assert (status, text, headers["Set-Cookie"]) == (200, b"0\n1\n2\n", None)
    assert headers["X-Content-Type-Options"] == "nosniff"


def test_forms_are_passed_whole(program: Program) -> None:
    body = (
        b'--X\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n'
        b'--X\r\nContent-Disposition: form-data; name="kind"\r\n\r\ntext\r\n--X--\r\n'
    )
    headers = {"Content-Type": "multipart/form-data; boundary=X"}
    assert json.loads(fetch(program, "/acme/form", body, **headers)[1]) == {"file": "a.txt", "kind": "text"}


def test_refusals_and_failures_of_packs_are_passed_on(program: Program) -> None:
    assert fetch(program, "/acme/refuse")[:2] == (418, b"no")
    status, body, _ = fetch(program, "/acme/fail")
    assert status == 500
    assert "KeyError" in json.loads(body)["error"]["message"]
    assert fetch(program, "/acme/nowhere")[0] == 404
    assert fetch(program, "/acme/hello/you", b"{}")[0] in (404, 405)


def test_a_handler_that_hangs_hangs_itself_alone(program: Program) -> None:
    with pytest.raises(TimeoutError):
        urllib.request.urlopen(program.url + "/acme/hang?seconds=3", timeout=0.3)
    began = time.monotonic()
    assert program.get("/queue") is not None
    assert outputs(program, {"1": node("utility.Show", value="meanwhile")})["1"]["text"] == ["meanwhile"]
    assert time.monotonic() - began < 60


def test_a_pack_cannot_take_a_route_of_ours_nor_be_asked_by_strangers(program: Program) -> None:
    assert program.get("/object_info")
    said = json.loads(fetch(program, "/packs")[1])
    assert "address" not in said
    status, _, _ = fetch(program, "/acme/echo", b"{}", Origin="https://evil.example")
    assert status == 403


def test_functions_of_packs_see_posted_prompts(program: Program) -> None:
    _, answer = program.post("/prompt", {"prompt": {"1": node("utility.Show", value="seen")}})
    assert program.finished(answer["prompt_id"])["prompt"][3]["seen"] is True


# ---------------------------------------------------------------- switching off: last, as the worker starts again


def test_a_pack_is_switched_off_and_on_again(program: Program) -> None:
    assert program.post("/packs/nobody", {"enabled": False})[0] == 404
    assert program.post("/packs/loops", {"enabled": "no"})[0] == 400
    before = program.worker_pid()
    status, answer = program.post("/packs/loops", {"enabled": False, "restart": True})
    assert (status, answer["restarted"]) == (200, True)
    _until(lambda: "loops.Add" not in program.get("/object_info"))
    assert program.worker_pid() != before
    told = {pack["name"]: pack for pack in program.get("/packs")["packs"]}
    assert told["loops"] == {"name": "loops", "loaded": False, "enabled": False}
    assert program.post("/packs/loops", {"enabled": True})[1]["restarted"] is False
    assert json.loads((program.base / "user" / "packs.json").read_text()) == {"disabled": []}


def _until(holds: Any) -> None:
    deadline = time.monotonic() + 60
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_safe_mode_loads_no_packs(tmp_path: Path) -> None:
    import subprocess
    import sys

    shutil.copytree(PACKS / "utility", tmp_path / "custom_nodes" / "utility")
    graph = tmp_path / "graph.json"
    graph.write_text(json.dumps({"1": node("utility.Show", value="x")}))
    command = [sys.executable, str(ROOT / "main.py"), "run", str(graph), "--base-directory", str(tmp_path)]
    done = subprocess.run([*command, "--safe-mode"], capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert "utility.Show" in done.stderr
