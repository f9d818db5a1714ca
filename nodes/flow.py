"""Control flow: loops whose body is what stands between their two nodes, and choices that run one branch only.

The ends of loops and the branches of choices are lazy: what no round and no choice asks for is not run.
"""

from __future__ import annotations

from typing import Annotated, Any, cast

from app.api import Blocker, Hidden, InvalidRequest, Lazy, LoopState, Optionally, Options, Port, Range, Returned, node

MOST_ROUNDS = 100_000
CASES = 8

Value = Annotated[Any, Port("*")]
Later = Annotated[Any, Port("*"), Lazy()]
Loop = Annotated[Any, Port("LOOP", "loop")]
Round = Annotated[Any, Hidden("ROUND")]
Carried = Annotated[Any, Hidden("CARRIED")]
Loops = Annotated[
    Returned,
    Port("LOOP", "loop"),
    Port("INT", "index"),
    Port("*", "value_1", is_list=True),
    Port("*", "value_2", is_list=True),
    Port("*", "value_3", is_list=True),
    Port("*", "value_4", is_list=True),
]
Ended = Annotated[
    Returned,
    Port("*", "value_1", is_list=True),
    Port("*", "value_2", is_list=True),
    Port("*", "value_3", is_list=True),
    Port("*", "value_4", is_list=True),
    Port("*", "collected", is_list=True),
]


@node(
    "For Begin",
    category="flow/loops",
    id="ForBegin",
    loop="begin",
    input_is_list=True,
    aliases=("for", "repeat", "iterate", "loop start"),
)
def for_begin(
    *,
    count: Annotated[int, Range(0, MOST_ROUNDS, bound=True)] = 3,
    start: Annotated[int, Range(-(2**31), 2**31), Optionally()] = 0,
    step: Annotated[int, Range(-(2**31), 2**31), Optionally()] = 1,
    value_1: Value = None,
    value_2: Value = None,
    value_3: Value = None,
    value_4: Value = None,
    round: Round = None,
) -> Loops:
    """Begins a loop with a known number of rounds. What is linked between here and For End runs in each round.

    Args:
        count: how many rounds; 0 skips the body.
        start: the index in the first round.
        step: what the index grows by from round to round.
        value_1: what value_1 is in the first round; later it is what For End was given.
        value_2: as value_1.
        value_3: as value_1.
        value_4: as value_1.
    """
    at, total = round[0], _one(count)
    values = (_held(value_1), _held(value_2), _held(value_3), _held(value_4))
    return Returned((LoopState(at < total, at, total, values), _one(start) + at * _one(step), *values))


@node("For End", category="flow/loops", id="ForEnd", loop="end", input_is_list=True, aliases=("loop end",))
def for_end(
    *,
    loop: Loop,
    value_1: Later = None,
    value_2: Later = None,
    value_3: Later = None,
    value_4: Later = None,
    collect: Later = None,
    carried: Carried = None,
) -> Ended:
    """Ends a For loop: hands values on to the next round, and after the last one out of the loop.

    Args:
        loop: the loop output of For Begin.
        value_1: what value_1 is in the next round. Left open it stays as it is.
        value_2: as value_1.
        value_3: as value_1.
        value_4: as value_1.
        collect: gathered from all rounds into one list.
    """
    return _ended(loop[0], carried[0], collect)


@for_end.needs
def _(**inputs: Any) -> list[str]:
    return _body_inputs(inputs)


@node(
    "While Begin",
    category="flow/loops",
    id="WhileBegin",
    loop="begin",
    input_is_list=True,
    aliases=("while", "until", "repeat", "loop start"),
)
def while_begin(
    *,
    condition: Annotated[bool, Options(bound=True)] = True,
    limit: Annotated[int, Range(1, MOST_ROUNDS, bound=True), Optionally()] = 100,
    value_1: Value = None,
    value_2: Value = None,
    value_3: Value = None,
    value_4: Value = None,
    round: Round = None,
) -> Loops:
    """Begins a loop that runs for as long as a condition holds, which is looked at before each round.

    Args:
        condition: whether the first round runs; later ones ask the condition that While End was given.
        limit: more rounds than this end the run with an error.
        value_1: what value_1 is in the first round; later it is what While End was given.
        value_2: as value_1.
        value_3: as value_1.
        value_4: as value_1.
    """
    at, running = round[0], bool(_one(condition))
    if running and at >= _one(limit):
        raise InvalidRequest(
            f"The loop has run {at} rounds and its condition still holds.",
            remedy="Check what makes the condition false, or raise limit.",
        )
    values = (_held(value_1), _held(value_2), _held(value_3), _held(value_4))
    return Returned((LoopState(running, at, None, values), at, *values))


@node("While End", category="flow/loops", id="WhileEnd", loop="end", input_is_list=True, aliases=("loop end",))
def while_end(
    *,
    loop: Loop,
    condition: Annotated[bool, Lazy(), Options(forceInput=True)],
    value_1: Later = None,
    value_2: Later = None,
    value_3: Later = None,
    value_4: Later = None,
    collect: Later = None,
    carried: Carried = None,
) -> Ended:
    """Ends a While loop: hands values on to the next round, and out of the loop once the condition is false.

    Args:
        loop: the loop output of While Begin.
        condition: whether another round follows.
        value_1: what value_1 is in the next round. Left open it stays as it is.
        value_2: as value_1.
        value_3: as value_1.
        value_4: as value_1.
        collect: gathered from all rounds into one list.
    """
    return _ended(loop[0], carried[0], collect)


@while_end.needs
def _(**inputs: Any) -> list[str]:
    return _body_inputs(inputs)


@node(
    "Map Begin",
    category="flow/loops",
    id="MapBegin",
    loop="begin",
    input_is_list=True,
    aliases=("for each", "map", "iterate", "list"),
)
def map_begin(
    *, items: Value, round: Round = None
) -> Annotated[Returned, Port("LOOP", "loop"), Port("*", "item"), Port("INT", "index"), Port("INT", "count")]:
    """Begins a loop over a list: one round for each of its items, each from start to end before the next.

    Args:
        items: a list of any values.
    """
    at, total = round[0], len(items)
    item = items[at] if at < total else None
    return Returned((LoopState(at < total, at, total), item, at, total))


@node(
    "Map End", category="flow/loops", id="MapEnd", loop="end", input_is_list=True, aliases=("for each end", "collect")
)
def map_end(
    *, loop: Loop, result: Later = None, result_2: Later = None, result_3: Later = None, carried: Carried = None
) -> Annotated[
    Returned,
    Port("*", "results", is_list=True),
    Port("*", "results_2", is_list=True),
    Port("*", "results_3", is_list=True),
]:
    """Ends a Map loop: gathers the results of all rounds into lists. What a blocked round would have given is left out.

    Args:
        loop: the loop output of Map Begin.
        result: what this round made of the item.
        result_2: a second result.
        result_3: a third result.
    """
    kept: tuple[list[Any], ...] = carried[0] or ([], [], [])
    if not loop[0].running:
        return Returned(kept)
    for gathered, given in zip(kept, (result, result_2, result_3), strict=True):
        gathered.extend(value for value in given or () if not isinstance(value, Blocker))
    return Returned(again=kept)


@map_end.needs
def _(**inputs: Any) -> list[str]:
    return _body_inputs(inputs)


@node("If", category="flow", id="ComfySwitchNode", aliases=("if", "else", "switch", "condition", "branch"))
def if_else(*, switch: bool, on_false: Later = None, on_true: Later = None) -> Annotated[Any, Port("*", "output")]:
    """Gives one of two values and runs that branch only. A branch left open stops what would read it.

    Args:
        switch: which branch.
        on_false: the value while switch is off.
        on_true: the value while switch is on.
    """
    chosen = on_true if switch else on_false
    return Blocker() if chosen is None else chosen


@if_else.needs
def _(**inputs: Any) -> list[str]:
    name = "on_true" if inputs["switch"] else "on_false"
    return [name] if name in inputs else []


@node("Switch", category="flow", id="SwitchCase", aliases=("select", "choose", "case", "multiplexer"))
def switch_case(
    *,
    which: Annotated[int, Range(0, CASES - 1)],
    case_0: Later = None,
    case_1: Later = None,
    case_2: Later = None,
    case_3: Later = None,
    case_4: Later = None,
    case_5: Later = None,
    case_6: Later = None,
    case_7: Later = None,
    otherwise: Later = None,
) -> Annotated[Any, Port("*", "output")]:
    """Gives one of several values and runs that branch only.

    Args:
        which: the number of the branch.
        case_0: the value for 0.
        case_1: the value for 1.
        case_2: the value for 2.
        case_3: the value for 3.
        case_4: the value for 4.
        case_5: the value for 5.
        case_6: the value for 6.
        case_7: the value for 7.
        otherwise: the value for a number whose branch is open. If this is open, too, what would read it is stopped.
    """
    chosen = (case_0, case_1, case_2, case_3, case_4, case_5, case_6, case_7)[which]
    chosen = otherwise if chosen is None else chosen
    return Blocker() if chosen is None else chosen


@switch_case.needs
def _(**inputs: Any) -> list[str]:
    name = f"case_{inputs['which']}"
    return [name] if name in inputs else [each for each in ("otherwise",) if each in inputs]


def _held(values: Any) -> list[Any]:
    """A list of values as it came, [None] for one that is not set."""
    return [None] if values is None else list(values)


def _one(values: Any) -> Any:
    """The first of a list of values, or the value itself where it is a default."""
    return cast("list[Any]", values)[0] if isinstance(values, list) else values


def _body_inputs(inputs: Any) -> list[str]:
    """All that is linked into a loop's end, if the round is run."""
    running = inputs["loop"][0].running
    return [name for name in inputs if running and name not in ("loop", "carried")]


def _ended(state: LoopState, carried: Any, collect: Any) -> Returned:
    """Another round if this one ran, else what the last one left."""
    kept: list[Any] = [] if carried is None else carried
    if not state.running:
        return Returned((*state.values, kept))
    kept.extend(value for value in collect or () if not isinstance(value, Blocker))
    return Returned(again=kept)
