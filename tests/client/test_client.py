"""The client against a live server: submit, wait, listen, fetch, upload, cancel."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from app.client import Client, Event, File, JobFailed, Output, Preview, Queue, Refused
from tests.server.hosted import Hosted
from tests.server.support import show

WORK = {"1": {"class_type": "Work", "inputs": {"steps": 3, "seconds": 0.0}}, "2": show("worked", ["1", 0])}
LONG = {"1": {"class_type": "Work", "inputs": {"steps": 600, "seconds": 0.05}}, "2": show("late", ["1", 0])}


@pytest.fixture
def client(host: Hosted) -> Client:
    return Client(host.url)


def test_run_and_fetch(client: Client) -> None:
    result = client.run({"1": show("hello")}, timeout=30)
    assert result.outputs["1"]["text"] == ["hello"]
    (file,) = result.files
    assert file.type == "output"
    assert client.fetch(file) == b"picture hello"


def test_the_same_key_gives_the_same_job(client: Client) -> None:
    first = client.submit({"1": show("once")}, key="once")
    assert client.submit({"1": show("once")}, key="once").id == first.id
    with pytest.raises(Refused) as refused:
        client.submit({"1": show("twice")}, key="once")
    assert refused.value.status == 409


def test_what_cannot_run_is_refused_with_a_way_out(client: Client) -> None:
    with pytest.raises(Refused) as refused:
        client.submit({"1": {"class_type": "Number", "inputs": {"value": 5000}}, "2": show("x", ["1", 0])})
    assert refused.value.status == 400
    assert refused.value.node_errors["1"]["errors"][0]["type"] == "value_bigger_than_max"
    with pytest.raises(Refused, match="no job"):
        client.job("nothing")
    with pytest.raises(Refused, match="no job"):
        client.wait("nothing", timeout=5)


def test_waiting_hears_every_message_once(client: Client) -> None:
    heard: list[Event] = []
    client.wait(client.submit(WORK).id, 30, heard.append)
    kinds = [event.type for event in heard]
    assert kinds[0] == "execution_start"
    assert kinds[-1] == "executing"
    assert heard[-1].data["node"] is None
    numbers = [event.seq or 0 for event in heard]
    assert numbers == sorted(set(numbers))


def test_a_failure_names_the_node(client: Client) -> None:
    with pytest.raises(JobFailed) as failed:
        client.run({"7": {"class_type": "Fail", "inputs": {"message": "out of tea"}}, "8": show("x", ["7", 0])}, 30)
    assert (failed.value.node_id, failed.value.status) == ("7", "failed")
    assert "out of tea" in str(failed.value)


def test_cancel_and_time_out(client: Client) -> None:
    job = client.submit(LONG)
    with pytest.raises(TimeoutError, match="has not ended"):
        client.wait(job.id, timeout=0.2)
    assert client.cancel(job.id)
    with pytest.raises(JobFailed, match="cancelled"):
        client.wait(job.id, timeout=30)
    assert not client.cancel(job.id)


def test_listening_brings_progress_and_previews(client: Client) -> None:
    heard: list[Any] = []
    with client.listen() as messages:
        job = client.submit(WORK)
        for message in messages:
            heard.append(message)
            if isinstance(message, Event) and message.type == "executing" and message.data["node"] is None:
                break
    progress = [each.data for each in heard if isinstance(each, Event) and each.type == "progress"]
    assert progress[-1]["value"] == progress[-1]["max"] == 3  # quick steps are told together
    previews = [each for each in heard if isinstance(each, Preview)]
    assert {each.image for each in previews} == {b"\xff\xd8preview"}
    assert {each.about["prompt_id"] for each in previews} == {job.id}


def test_uploads(client: Client, tmp_path: Path) -> None:
    picture = tmp_path / 'a "b".png'
    picture.write_bytes(b"not really a picture")
    file = client.upload(picture, subfolder="mine")
    assert file.type == "input"
    assert file.value == f"mine/{file.filename}"
    assert client.fetch(file) == b"not really a picture"
    again = client.upload(b"another", "c.png")
    assert client.upload(b"changed", "c.png", overwrite=True) == again
    assert client.fetch(again) == b"changed"
    with pytest.raises(Refused, match="not taken"):
        client.upload(b"", "run.exe")
    assert File("a.png", "b", "output").value == "b/a.png [output]"


def test_saved_workflows_are_functions(client: Client, host: Hosted) -> None:
    graph = {"1": {**show("saved"), "_meta": {"title": "input:words"}}}
    client.transport.open("POST", "/api/userdata/workflows%2Fgreet.json", json.dumps(graph).encode()).close()
    assert client.workflows()["greet"]["properties"]["words"]["default"] == "saved"
    assert client.run_workflow("greet", 30, words="given").outputs["1"]["text"] == ["given"]
    assert client.run_workflow("greet", 30).outputs["1"]["text"] == ["saved"]
    with pytest.raises(Refused, match="The inputs are: words"):
        client.run_workflow("greet", 30, colour=1)


def test_outputs_with_names(client: Client) -> None:
    graph = {
        "1": {**show("saved"), "_meta": {"title": "input:words; output:card"}},
        "2": {"class_type": "Say", "inputs": {"text": "done"}, "_meta": {"title": "output:note"}},
    }
    client.save_workflow("folder/card", graph)
    assert "folder/card" in client.workflows()
    result = client.run_workflow("folder/card", 30, words="given")
    (file,) = result.named["card"].files
    assert client.fetch(file) == b"picture given"
    assert result.named["note"] == Output((), ("done",))


def test_the_queue_is_seen_held_and_sorted(client: Client) -> None:
    client.pause()
    try:
        first, second, third = (client.submit({"1": show(text)}).id for text in ("a", "b", "c"))
        assert client.queue() == Queue((), (first, second, third), True)
        assert client.reorder(third, to="front")
        assert client.reorder(first, after=second)
        assert client.urge(second, 5)
        assert client.queue().waiting == (second, third, first)
        assert [job["id"] for job in client.jobs("pending", limit=2)] == [third, second]
        with pytest.raises(Refused, match="Exactly one"):
            client.reorder(first)
        with pytest.raises(Refused, match="urgency"):
            client.urge(first, 5000)
    finally:
        client.resume()
    for job_id in (first, second, third):
        client.wait(job_id, 30)
    assert not client.reorder(first, to="back")
    assert not client.urge(first, 1)


def test_an_estimate_and_the_nodes(client: Client) -> None:
    client.run(WORK, 30)
    told = client.estimate(WORK)
    assert (told.run, told.cached, told.maybe) == (("1", "2"), (), ())
    assert set(told.nodes) == {"1", "2"}
    assert client.nodes()["Work"]["display_name"]
    with pytest.raises(Refused):
        client.estimate({"1": {"class_type": "Nothing", "inputs": {}}})


def test_a_server_with_a_token_and_one_that_is_not_there(tmp_path: Path) -> None:
    guarded = Hosted(tmp_path, "--token", "secret", "--workers", "0")
    try:
        with pytest.raises(Refused) as refused:
            Client(guarded.url).job("x")
        assert refused.value.status == 401
        client = Client(f"{guarded.url}/", token="secret")
        assert client.workflows() == {}
        with client.listen() as messages:
            first = next(messages)
        assert isinstance(first, Event)
        assert first.type == "status"
    finally:
        guarded.close()
    with pytest.raises(OSError, match="refused"):
        client.workflows()


def test_a_job_is_waited_for_while_the_server_is_away(tmp_path: Path) -> None:
    """The stream breaks in the middle; the rest of the messages come from the next server."""
    first = Hosted(tmp_path, "--workers", "0")
    port = first.url.rpartition(":")[2]
    from app.graph.spec import spec_to_json
    from tests.server.fake_worker import SPECS

    first.site.running.services.catalogue.learn(tuple(spec_to_json(spec) for spec in SPECS))
    client = Client(first.url)
    job = client.submit({"1": show("kept")})
    first.close()
    second = Hosted(tmp_path, "--port", port)
    try:
        assert client.wait(job.id, timeout=30).outputs["1"]["text"] == ["kept"]
    finally:
        second.close()
