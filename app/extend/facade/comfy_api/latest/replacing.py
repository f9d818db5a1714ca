"""How packs tell what stands in for classes that they had before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from app.extend.facade.host import HOST
from app.graph.replacements import Replacement, replacement_from_json


class NodeReplace(Replacement):
    """A replacement in the words of packs, who name the new class first."""

    def __init__(
        self,
        new_node_id: str,
        old_node_id: str,
        old_widget_ids: Sequence[str] | None = None,
        input_mapping: Sequence[Mapping[str, Any]] | None = None,
        output_mapping: Sequence[Mapping[str, Any]] | None = None,
    ):
        """Raises InvalidRequest for a mapping that cannot be read, which then is the reason why the pack fails."""
        read = replacement_from_json(
            {
                "old_node_id": old_node_id,
                "new_node_id": new_node_id,
                "old_widget_ids": old_widget_ids,
                "input_mapping": input_mapping,
                "output_mapping": output_mapping,
            }
        )
        super().__init__(
            read.old_node_id, read.new_node_id, read.old_widget_ids, read.input_mapping, read.output_mapping
        )


class NodeReplacements:
    """The door through which packs register."""

    async def register(self, node_replace: NodeReplace) -> None:
        """Prompts with the old class run as the new one from now on; registered twice counts once."""
        register(node_replace)


class NodeReplacementsSync:
    """The same for code that is not asynchronous."""

    def register(self, node_replace: NodeReplace) -> None:
        """See `NodeReplacements`."""
        register(node_replace)


def register(node_replace: Replacement) -> None:
    """Takes note of a replacement, for the server to hear of."""
    known = HOST.now.replacements
    if node_replace not in known:
        known.append(node_replace)
