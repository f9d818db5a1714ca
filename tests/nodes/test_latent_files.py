from __future__ import annotations

import json
import shutil
from typing import Any

import pytest
import torch
from safetensors import safe_open

from app.errors import Forbidden, Missing, UnusableFile
from app.settings import Settings

SAMPLES = torch.randn(2, 4, 5, 7, generator=torch.Generator().manual_seed(0))


def test_a_latent_comes_back_with_its_graph_beside_it(bench: Any, installation: Settings) -> None:
    ui = bench.returned("SaveLatent", samples={"samples": SAMPLES}, prompt={"1": {}}).ui
    staged = bench.workshop.outputs.staging / ui["latents"][0]["staged"]
    assert staged.suffix == ".latent"
    with safe_open(staged, framework="pt") as file:
        assert json.loads(file.metadata()["prompt"]) == {"1": {}}
    shutil.copy(staged, installation.directories.input / "a.latent")
    assert torch.equal(bench("LoadLatent", latent="a.latent")["samples"], SAMPLES)


def test_names_and_files_that_cannot_be_are_refused(bench: Any, installation: Settings) -> None:
    with pytest.raises(Forbidden):
        bench("SaveLatent", samples={"samples": SAMPLES}, filename_prefix="../../x")
    with pytest.raises(Missing):
        bench("LoadLatent", latent="none.latent")
    (installation.directories.input / "b.latent").write_bytes(b"no latent")
    with pytest.raises(UnusableFile, match=r"b\.latent"):
        bench("LoadLatent", latent="b.latent")
