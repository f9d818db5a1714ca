"""The precision that training runs in on a CPU."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel


@contextmanager
def mixed_precision() -> Generator[None]:
    """bfloat16 products with float32 weights, and plain attention, the faster one to train on short sequences.

    Measured on a Zen 5 CPU with AVX512-BF16: 1.2 times float32's rate for the U-Net, 1.7 times for the first stage;
    the fused attention kernel spends a third of the step in its bfloat16 backward pass at 64 tokens.
    """
    with torch.autocast("cpu", torch.bfloat16), sdpa_kernel([SDPBackend.MATH]):
        yield
