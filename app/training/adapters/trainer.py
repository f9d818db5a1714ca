"""Trains an adapter of a model: the model's weights stay as they are, a few small tensors for each layer move.

The network learns its own kind of prediction at random noise levels (Ho et al. 2020, arXiv:2006.11239, Algorithm 1).
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from app.diffusion.model import DiffusionModel
from app.diffusion.noise import generator_for
from app.diffusion.parameterization.wrap import cast
from app.errors import InvalidRequest
from app.training.adapters.branch import Branch, added_by
from app.training.adapters.examples import Example, joined
from app.training.adapters.objective import LOSSES, drawn_levels, target
from app.training.adapters.recomputing import recompute_blocks
from app.training.adapters.start import PREFIX, Earlier, first_parts, network_to_train

OPTIMISERS: Mapping[str, type[torch.optim.Optimizer]] = {
    "AdamW": torch.optim.AdamW,
    "Adam": torch.optim.Adam,
    "SGD": torch.optim.SGD,
    "RMSprop": torch.optim.RMSprop,
}


@dataclass(frozen=True, slots=True)
class AdapterRecipe:
    """How an adapter is trained. One step shows `batch` · `accumulate` latents; `dtype` is what is computed in.

    With `recompute`, blocks compute again on the way back instead of remembering (see `recomputing`).
    """

    algorithm: str = "LoRA"
    rank: int = 8
    steps: int = 16
    batch: int = 1
    accumulate: int = 1
    rate: float = 5e-4
    optimiser: str = "AdamW"
    loss: str = "MSE"
    seed: int = 0
    dtype: torch.dtype = torch.bfloat16
    recompute: bool = True


@dataclass(frozen=True, slots=True)
class AdapterStep:
    """A step that is done, counted from 1, and the mean loss of all it was shown."""

    number: int
    loss: float


class AdapterTraining:
    """One training. `network` must be where it is computed while `steps` is iterated."""

    def __init__(
        self, model: DiffusionModel, examples: Sequence[Example], recipe: AdapterRecipe, earlier: Earlier | None = None
    ) -> None:
        self.recipe = recipe
        self._earlier = earlier or Earlier()
        self._sampling = model.sampling
        self._examples = examples
        self._chance = generator_for(recipe.seed)
        self._waiting: list[int] = []
        with torch.inference_mode(False):
            self.network = network_to_train(model, recipe.dtype, self._earlier)
            parts = first_parts(self.network, recipe.algorithm, recipe.rank, self._chance, self._earlier)
            self.branches = {name: Branch(each) for name, each in parts.items()}
            for name, branch in self.branches.items():
                self.network.get_submodule(name).register_forward_hook(partial(added_by, branch))
            if recipe.recompute:
                recompute_blocks(self.network)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """All that is trained."""
        return [part for branch in self.branches.values() for part in branch.parameters()]

    def steps(self) -> Generator[AdapterStep]:
        """Train; stopping in between leaves what was learnt so far.

        Raises:
            InvalidRequest: a loss that is no number.
        """
        device = next(self.network.parameters()).device
        with torch.inference_mode(False):
            for branch in self.branches.values():
                branch.to(device)
            optimiser = OPTIMISERS[self.recipe.optimiser](self.parameters, lr=self.recipe.rate)  # pyright: ignore[reportCallIssue]
        for number in range(1, self.recipe.steps + 1):
            loss = self._step(optimiser, device)
            if not loss < float("inf"):
                raise InvalidRequest(
                    f"The loss of step {number} is no number: {loss}.",
                    remedy=f"Lower learning_rate, which is {self.recipe.rate}, or train in fp32.",
                    input_name="learning_rate",
                )
            yield AdapterStep(number, loss)

    def tensors(self, dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
        """The adapter as it is now, by the names that files have; also what a file had that was not trained."""
        trained = {
            f"{PREFIX}{layer}.{ending}": tensor
            for layer, branch in self.branches.items()
            for ending, tensor in branch.tensors(dtype).items()
        }
        return trained | self._earlier.tensors()

    def _step(self, optimiser: torch.optim.Optimizer, device: torch.device) -> float:
        # Entered anew at each step: whoever iterates goes on in between, perhaps where no gradients are wanted.
        with torch.inference_mode(False), torch.enable_grad():
            optimiser.zero_grad(set_to_none=True)
            losses = [self._backward(self._next(self.recipe.batch), device) for _ in range(self.recipe.accumulate)]
            optimiser.step()  # pyright: ignore[reportUnknownMemberType]
        return sum(losses) / len(losses)

    def _next(self, count: int) -> list[Example]:
        """The next examples; each comes as often as the others, in an order that chance has mixed."""
        while len(self._waiting) < count:
            self._waiting += map(int, torch.randperm(len(self._examples), generator=self._chance))
        chosen, self._waiting = self._waiting[:count], self._waiting[count:]
        return [self._examples[place] for place in chosen]

    def _backward(self, examples: Sequence[Example], device: torch.device) -> float:
        """Add these examples' gradients; their mean loss."""
        total = 0.0
        for clean, arguments in joined(examples):
            share = len(clean) / (len(examples) * self.recipe.accumulate)
            noise = torch.randn(clean.shape, generator=self._chance).to(device)
            sigma = drawn_levels(self._sampling, len(clean), self._chance).to(device)
            loss = self._loss(clean.to(device), noise, sigma, arguments)
            (loss * share).backward()  # pyright: ignore[reportUnknownMemberType]
            total += float(loss.detach()) * len(clean) / len(examples)
        return total

    def _loss(self, clean: Tensor, noise: Tensor, sigma: Tensor, arguments: Mapping[str, object]) -> Tensor:
        sampling, dtype = self._sampling, self.recipe.dtype
        noisy = sampling.noise_scaling(sigma, noise, clean)
        shown = sampling.scaled_input(noisy, sigma).to(dtype)
        said = {name: cast(value, clean.device, dtype) for name, value in arguments.items()}
        output = self.network(shown, sampling.timestep(sigma), **said)
        return LOSSES[self.recipe.loss](output.float(), target(sampling, noisy, sigma, clean))
