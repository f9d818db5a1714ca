"""Prompts with classes of before run as what stands in for them."""

from __future__ import annotations

from typing import Any

from app.server.catalogue import Catalogue
from tests.server.support import Site

OLD_SAY: dict[str, Any] = {
    "old_node_id": "Tell",
    "new_node_id": "Say",
    "input_mapping": [{"new_id": "text", "old_id": "message"}],
}


def test_what_cannot_be_read_is_left_out() -> None:
    catalogue = Catalogue({})
    catalogue.learn_replacements([OLD_SAY, {"old_node_id": 3}, None])
    assert catalogue.replacements["Tell"][0].new_node_id == "Say"
    assert "T2IAdapterLoader" in catalogue.replacements
    catalogue.learn_replacements(None)
    assert "Tell" not in catalogue.replacements


async def test_an_old_prompt_runs_and_is_kept_as_the_new_one(site: Site) -> None:
    await site.get("/object_info")  # the worker has said what it has
    site.running.services.catalogue.learn_replacements([OLD_SAY])
    told = await site.get("/node_replacements")
    assert told["Tell"] == [{**OLD_SAY, "old_widget_ids": None, "output_mapping": None}]
    job_id = await site.submit({"1": {"class_type": "Tell", "inputs": {"message": "hello"}}})
    entry = await site.finished(job_id)
    assert entry["outputs"]["1"]["text"] == ["hello"]
    assert entry["prompt"][2]["1"] == {"class_type": "Say", "inputs": {"text": "hello"}}
