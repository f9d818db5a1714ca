"""Which runs of a node ought to cost the same: its class, its sizes and choices, and those of what it is fed with.

Seeds and free texts are left out, for they change what is drawn and not what it costs.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from app.graph.prompt import Link, NoLink, PromptNode
from app.graph.spec import InputSpec, NodeSpec

SEEDS = frozenset({"seed", "noise_seed"})


class Signature(NamedTuple):
    """`same` covers the node and all its ancestors; `alike` only the node's own whole numbers and choices."""

    same: str
    alike: str


def signature(node: PromptNode, spec: NodeSpec, parents: Mapping[str, Signature]) -> Signature:
    """The signature of one node from those of its parents; unknown ones count by their id's absence."""
    own = list(_sizes(node, spec))
    fed = sorted((name, parents[link.node].same, link.slot) for name, link in node.links() if link.node in parents)
    coarse = [(name, value) for name, value in own if not isinstance(value, float)]
    return Signature(_digest(spec.id, own, fed), _digest(spec.id, coarse))


def _sizes(node: PromptNode, spec: NodeSpec) -> Iterator[tuple[str, Any]]:
    for port in spec.inputs:
        value = node.inputs.get(port.name)
        if value is not None and not isinstance(value, Link | NoLink) and _costs(port):
            yield port.name, value


def _costs(port: InputSpec) -> bool:
    """Whether the value of an input may change what its node costs."""
    return port.type != "STRING" and port.name not in SEEDS and not port.options.get("control_after_generate")


def _digest(*said: object) -> str:
    """JSON values have one spelling in Python, which is all that is needed here and costs little."""
    return hashlib.blake2b(repr(said).encode(errors="surrogatepass"), digest_size=12).hexdigest()
