"""Signatures are remembered by cache key, so that a run costs only what is new in it."""

from __future__ import annotations

from app.engine.signatures import Signatures
from app.graph.fingerprint import node_keys
from app.graph.prompt import Prompt, PromptNode, parse_prompt
from app.graph.spec import InputSpec, NodeSpec, OutputSpec

SPEC = NodeSpec("T", (InputSpec("n", "INT"), InputSpec("a", "*", "optional")), (OutputSpec("x", "*"),))


def chain(length: int, last: int = 0) -> Prompt:
    return parse_prompt(
        {
            str(i): {
                "class_type": "T",
                "inputs": {"n": last if i == length - 1 else i, **({"a": [str(i - 1), 0]} if i else {})},
            }
            for i in range(length)
        }
    )


def looked_at(signatures: Signatures, prompt: Prompt) -> list[str]:
    seen: list[str] = []

    def node(node_id: str) -> PromptNode:
        seen.append(node_id)
        return prompt.nodes[node_id]

    keys = node_keys(prompt, prompt.nodes, {"T": SPEC}, {})
    signatures.of(str(len(prompt.nodes) - 1), keys, node, lambda node_id: SPEC)
    return list(dict.fromkeys(seen))


def test_a_long_chain_is_walked_once() -> None:
    signatures = Signatures()
    assert len(looked_at(signatures, chain(3000))) == 3000
    assert looked_at(signatures, chain(3000, last=5)) == ["2999"]
    assert looked_at(signatures, chain(3000, last=5)) == []


def test_equal_graphs_have_equal_signatures_whatever_was_seen_before() -> None:
    prompt = chain(5)
    keys = node_keys(prompt, prompt.nodes, {"T": SPEC}, {})
    warm = Signatures()
    for node_id in prompt.nodes:
        warm.of(node_id, keys, prompt.nodes.__getitem__, lambda each: SPEC)
    cold = Signatures().of("4", keys, prompt.nodes.__getitem__, lambda each: SPEC)
    assert warm.of("4", keys, prompt.nodes.__getitem__, lambda each: SPEC) == cold
