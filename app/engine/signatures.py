"""What runs of a node ought to cost the same, remembered across prompts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from app.graph.fingerprint import NodeKey
from app.graph.order import topological
from app.graph.prompt import PromptNode
from app.graph.signature import Signature, signature
from app.graph.spec import NodeSpec

MAX_SIGNATURES = 30_000


class Signatures:
    """Signatures by cache key, kept across prompts, so that a changed end does not cost its ancestors again."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Signature] = OrderedDict()

    def of(
        self,
        node_id: str,
        keys: Mapping[str, NodeKey],
        node: Callable[[str], PromptNode],
        spec_of: Callable[[str], NodeSpec],
    ) -> Signature:
        """The signature of a node of a run; costs the ancestors that are not known yet."""
        fresh: dict[str, Signature] = {}

        def lacking(child: str) -> list[str]:
            parents = (link.node for _, link in node(child).links())
            return [each for each in parents if each in keys and keys[each].key not in self._known]

        if keys[node_id].key not in self._known:
            order = topological([node_id], lacking).order if lacking(node_id) else (node_id,)
            for each in order:
                parents = {link.node for _, link in node(each).links() if link.node in keys}
                known = {p: fresh.get(p) or self._known[keys[p].key] for p in parents}
                fresh[each] = self._known[keys[each].key] = signature(node(each), spec_of(each), known)
        found = self._known[keys[node_id].key]
        while len(self._known) > MAX_SIGNATURES:
            self._known.popitem(last=False)
        return found
