"""Turns a typed function into a node: ports from annotations, limits from `Annotated`, help from the docstring.

    @node("Empty latent", category="latent", id="EmptyLatentImage")
    def empty_latent(*, width: Annotated[int, Range(16, 16384, step=8)] = 512) -> Annotated[Any, Port("LATENT")]:
        \"\"\"A blank latent to start from.\"\"\"

A parameter with the default None is an optional input, any other default is the widget's first value. The order of
the parameters is the order of the widgets.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from app.graph.json_values import is_sequence
from app.graph.lazy import still_open
from app.graph.ports import (
    Choice,
    FileIn,
    FunctionPorts,
    Hidden,
    Lazy,
    Optionally,
    Options,
    Port,
    Range,
    Receives,
    Seed,
    Text,
    Tip,
    read_docstring,
    read_ports,
)
from app.graph.returned import Blocker, Returned
from app.graph.spec import NodeSpec, OutputSpec

__all__ = [
    "Choice",
    "FileIn",
    "FunctionNode",
    "Hidden",
    "Lazy",
    "Optionally",
    "Options",
    "Port",
    "Range",
    "Receives",
    "Seed",
    "Text",
    "Tip",
    "node",
]

Body = Callable[..., Any]


class FunctionNode:
    """A node whose body is a function; what `engine.node.Node` asks for.

    The function itself stays callable as `node.body`, and as the node itself, with plain values.
    """

    def __init__(self, body: Body, spec: NodeSpec, ports: FunctionPorts):
        self.body = body
        self.spec = spec
        self._ports = ports
        self._fingerprint: Body | None = None
        self._validator: Body | None = None
        self._needs: Body | None = None
        self.__doc__ = body.__doc__
        self.__name__ = body.__name__

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The body on plain values."""
        return self.body(*args, **kwargs)

    def call(self, context: Any, inputs: Mapping[str, Any]) -> Returned | Awaitable[Returned]:
        """One call of the body; inputs that it does not declare are left out."""
        known = {name: inputs[name] for name in self._ports.accepted if name in inputs}
        result = self.body(**known, **dict.fromkeys(self._ports.contexts, context))
        return self._later(result) if inspect.isawaitable(result) else self._returned(result)

    def fingerprint(self, inputs: Mapping[str, Any]) -> Any:
        """What the `fingerprints` hook says of the inputs, None without one."""
        return _call_hook(self._fingerprint, inputs) if self._fingerprint else None

    def validate(self, inputs: Mapping[str, Any], received_types: Mapping[str, str]) -> str | None:
        """What the `validates` hook complains of, None if nothing."""
        if self._validator is None:
            return None
        return _call_hook(self._validator, {**inputs, "input_types": received_types})

    def needed(self, inputs: Mapping[str, Any], node_id: str = "") -> Sequence[str]:
        """What the `needs` hook asks for; without one every lazy input that is not there yet."""
        if self._needs is not None:
            return tuple(_call_hook(self._needs, inputs))
        return still_open(self.spec, inputs)

    def fingerprints(self, hook: Body) -> Body:
        """Decorates a function of some inputs to a value that changes when an equal run would differ."""
        self._fingerprint = hook
        self.spec = replace(self.spec, has_fingerprint=True)
        return hook

    def validates(self, hook: Body) -> Body:
        """Decorates a function of some inputs to a complaint or None; it answers for the limits of those inputs."""
        self._validator = hook
        self.spec = replace(self.spec, has_validator=True, validator_inputs=tuple(inspect.signature(hook).parameters))
        return hook

    def needs(self, hook: Body) -> Body:
        """Decorates a function of the inputs so far to the names of the lazy inputs that are needed."""
        self._needs = hook
        return hook

    async def _later(self, result: Awaitable[Any]) -> Returned:
        return self._returned(await result)

    def _returned(self, result: Any) -> Returned:
        if isinstance(result, Returned):
            return result
        count = len(self.spec.outputs)
        if isinstance(result, Blocker):
            return Returned((result,) * count)
        values = tuple(result) if self._ports.returns_tuple and is_sequence(result) else (result,)
        if count == 0:
            values = ()
        if len(values) != count:
            raise TypeError(f"{self.spec.id} declares {count} outputs and returned {len(values)}.")
        return Returned(values)


def node(
    display_name: str,
    *,
    category: str,
    id: str | None = None,
    outputs: Sequence[str] = (),
    output_node: bool = False,
    aliases: Sequence[str] = (),
    input_is_list: bool = False,
    not_idempotent: bool = False,
    deprecated: bool = False,
    experimental: bool = False,
    further: Sequence[str] = (),
    loop: Literal["", "begin", "end"] = "",
) -> Callable[[Body], FunctionNode]:
    """Declares the decorated function as a node.

    `id` is the stable class name, by default the function's name; `outputs` names the outputs, by default after their
    types; `aliases` are further words to find the node by; `further` are inputs that the body takes by its **
    parameter, for names that are none of Python's; `loop` makes it one side of a loop (see `graph.loops`).

    Raises:
        TypeError: a parameter or the return without a hint, or a hint that says no port.
    """

    def declare(body: Body) -> FunctionNode:
        ports = read_ports(body, further)
        summary, _ = read_docstring(body)
        spec = NodeSpec(
            id=id or body.__name__,
            inputs=ports.inputs,
            outputs=_named(body, ports.outputs, outputs),
            hidden=ports.hidden,
            display_name=display_name,
            category=category,
            help=summary,
            search_aliases=tuple(aliases),
            output_node=output_node,
            input_is_list=input_is_list,
            not_idempotent=not_idempotent,
            is_async=inspect.iscoroutinefunction(body),
            deprecated=deprecated,
            experimental=experimental,
            checks_links=True,
            loop=loop,
        )
        return FunctionNode(body, spec, ports)

    return declare


def _named(body: Body, ports: tuple[OutputSpec, ...], names: Sequence[str]) -> tuple[OutputSpec, ...]:
    if not names:
        return ports
    if len(names) != len(ports):
        raise TypeError(f"{body.__name__}: {len(names)} output names for {len(ports)} outputs.")
    return tuple(replace(port, name=name) for port, name in zip(ports, names, strict=True))


def _call_hook(hook: Body, inputs: Mapping[str, Any]) -> Any:
    """The hook on those inputs that it names, all of them if it takes `**`."""
    parameters = inspect.signature(hook).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return hook(**inputs)
    return hook(**{p.name: inputs.get(p.name, None if p.default is p.empty else p.default) for p in parameters})
