"""Reads the scripts that `graph.script` writes without running them: only calls and values are understood."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn, TypeGuard

from app.errors import InvalidRequest

LARGEST = 50_000_000  # characters


class Script(NamedTuple):
    """What a script holds: the prompt in API form, and the saved workflow that it was made from, or None."""

    prompt: dict[str, Any]
    workflow: Any


def read_script(text: str) -> Script:
    """The graph of a script.

    Raises:
        InvalidRequest: no such script, or one that calculates; the message names the line and the way out.
    """
    if len(text) > LARGEST:
        raise InvalidRequest(f"A script of {len(text)} characters is too large.", remedy="Export the graph as JSON.")
    try:
        module = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise InvalidRequest(f"This is no Python script: {error}", remedy="Export the graph again.") from error
    build = next((each for each in module.body if isinstance(each, ast.FunctionDef) and each.name == "build"), None)
    if build is None:
        raise InvalidRequest(
            "The script has no function named build.", remedy="Give a script that `main.py export` has written."
        )
    workflow = next(
        (each.value for each in module.body if isinstance(each, ast.Assign) and _assigns(each, "WORKFLOW")), None
    )
    reader = _Reader()
    try:
        prompt = reader.graph(build.body)
        return Script(prompt, None if workflow is None else reader.value(workflow))
    except RecursionError as error:
        raise InvalidRequest("The script nests too deeply.", remedy="Export the graph as JSON.") from error


class _Reader:
    """The graph as far as it has been read; `ids` are the nodes by variable."""

    def __init__(self) -> None:
        self.nodes: dict[str, Any] = {}
        self.ids: dict[str, str] = {}

    def graph(self, body: Sequence[ast.stmt]) -> dict[str, Any]:
        """The nodes that the statements add."""
        for statement in body:
            if isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                continue  # the docstring
            if isinstance(statement, ast.Return):
                return self.nodes
            if isinstance(statement, ast.Assign) and _called(statement.value) == "Graph":
                continue
            if isinstance(statement, ast.Assign) and _called(statement.value) == "graph.node":
                self._node(statement)
            elif isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Call):
                self._call(statement.value)
            else:
                _refuse(statement)
        return self.nodes

    def value(self, said: ast.expr) -> Any:
        """A literal, or a link to a node that is known."""
        if isinstance(said, ast.Constant) and isinstance(said.value, str | int | float | bool | None):
            return said.value
        if isinstance(said, ast.List):
            return [self.value(item) for item in said.elts]
        if isinstance(said, ast.Dict):
            keys = [_refuse(said) if key is None else self.value(key) for key in said.keys]
            if not all(isinstance(key, str) for key in keys):
                _refuse(said)
            return dict(zip(keys, (self.value(item) for item in said.values), strict=True))
        if isinstance(said, ast.Subscript):
            return self._link(said)
        return _number(said)

    def _link(self, said: ast.Subscript) -> list[Any]:
        """`variable[slot]`."""
        slot = self.value(said.slice)
        if not isinstance(said.value, ast.Name) or said.value.id not in self.ids or type(slot) is not int:
            _refuse(said)
        return [self.ids[said.value.id], slot]

    def _node(self, statement: ast.Assign) -> None:
        call = statement.value
        target = statement.targets[0]
        if not isinstance(call, ast.Call) or not isinstance(target, ast.Name) or not 2 <= len(call.args) <= 4:
            _refuse(statement)
        node_id, class_type, title, extra = [*(self.value(each) for each in call.args), None, None][:4]
        inputs: dict[str, Any] = {}
        for word in call.keywords:
            inputs.update({word.arg: self.value(word.value)} if word.arg else self.value(word.value))
        if not isinstance(node_id, str) or not isinstance(class_type, str):
            _refuse(statement)
        node: dict[str, Any] = {"inputs": inputs, "class_type": class_type, **(extra or {})}
        if title is not None:
            node["_meta"] = {"title": title}
        self.nodes[node_id] = node
        self.ids[target.id] = node_id

    def _call(self, call: ast.Call) -> None:
        words = [self.value(word) for word in call.args]
        if _called(call) == "graph.put" and len(words) == 2 and isinstance(words[0], str):
            self.nodes[words[0]] = words[1]
        elif _called(call) == "graph.order" and sorted(map(str, words)) == sorted(self.nodes):
            self.nodes = {node_id: self.nodes[node_id] for node_id in words}
        elif _called(call) == "graph.node" and call.args:
            self._node(ast.copy_location(ast.Assign([ast.Name("_", ast.Store())], call), call))
        else:
            _refuse(call)


def _called(said: ast.expr) -> str:
    """The name of what is called, "" for no call."""
    return ast.unparse(said.func) if isinstance(said, ast.Call) else ""


def _assigns(statement: ast.stmt, name: str) -> TypeGuard[ast.Assign]:
    return isinstance(statement, ast.Assign) and any(
        isinstance(target, ast.Name) and target.id == name for target in statement.targets
    )


def _number(said: ast.expr) -> int | float:
    """A negative number, or one of those that Python has no literal for."""
    if isinstance(said, ast.UnaryOp) and isinstance(said.op, ast.USub) and isinstance(said.operand, ast.Constant):
        number = said.operand.value
        return -number if isinstance(number, int | float) else _refuse(said)
    if isinstance(said, ast.Call) and _called(said) == "float" and len(said.args) == 1:
        word = said.args[0]
        if isinstance(word, ast.Constant) and word.value in ("nan", "inf", "-inf"):
            return float(str(word.value))
    _refuse(said)


def _refuse(said: ast.stmt | ast.expr) -> NoReturn:
    raise InvalidRequest(
        f"Line {said.lineno} of the script cannot be read without running it: {ast.unparse(said)[:120]}",
        remedy="Run the script itself: it writes the graph as JSON. Or write the node as a plain call.",
    )
