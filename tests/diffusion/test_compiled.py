from __future__ import annotations

import pytest
import torch
from torch import nn

from app.diffusion.adapters.change import Edit, Place
from app.diffusion.adapters.full import Difference
from app.diffusion.adapters.twin import with_edits
from app.diffusion.compiled import compiled
from app.errors import InvalidRequest


class Doubling(nn.Module):
    """Adds its weight, and twice as much; counts how often Python runs it."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([1.0]), requires_grad=False)
        self.ran: list[int] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not torch.compiler.is_compiling():
            self.ran.append(1)
        return x + self.weight + 2 * self.weight


X = torch.zeros(2)


def louder(network: Doubling, by: float) -> Doubling:
    return with_edits(network, [Edit(Place("weight"), Difference(torch.tensor([by])))])


def test_a_compiled_network_says_the_same_and_the_given_one_is_not_compiled() -> None:
    plain = Doubling()
    made = compiled(plain, "eager")
    with torch.inference_mode():
        assert torch.equal(made(X), X + 3)
        assert not plain.ran, "Python has only traced it"
        assert torch.equal(plain(X), X + 3)
    assert plain.ran
    assert made.weight.data_ptr() == plain.weight.data_ptr()


def test_edits_before_are_compiled_and_edits_after_still_count() -> None:
    plain = Doubling()
    made = compiled(louder(plain, 1.0), "eager")
    after = louder(made, 2.0)
    with torch.inference_mode():
        assert torch.equal(made(X), X + 6)
        assert torch.equal(after(X), X + 12)
        assert torch.equal(made(X), X + 6)
        assert torch.equal(plain(X), X + 3)


def test_a_backend_that_needs_a_gpu_is_refused_without_one() -> None:
    if torch.cuda.is_available():
        assert compiled(Doubling(), "cudagraphs") is not None
    else:
        with pytest.raises(InvalidRequest, match="needs an NVIDIA GPU"):
            compiled(Doubling(), "cudagraphs")


def test_a_missing_compiler_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    if torch.cuda.is_available():
        return
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setenv("PATH", "")
    from torch._inductor import config

    with config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(InvalidRequest, match="no C\\+\\+ compiler"):
        compiled(Doubling(), "inductor")
