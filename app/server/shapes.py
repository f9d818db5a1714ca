"""What the API takes and answers about graphs and jobs, as types; `machine_shapes` has the rest.

`operation.schema_of` makes JSON schemas of them, tests hold the answers to them. Sizes are in bytes. Times are seconds
since 1970 where they are floats, milliseconds where they are whole numbers.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from app.server.messages import (
    ErrorBody,
    ExecutionCached,
    ExecutionError,
    ExecutionInterrupted,
    ExecutionStart,
    ExecutionSuccess,
    NodeErrors,
)

Refusal = ErrorBody


class NodeTitle(TypedDict):
    """What people call a node."""

    title: NotRequired[str]


class GraphNode(TypedDict):
    """A node of a graph. An input is a value, or [node id, number of the output] for a link."""

    class_type: str
    inputs: NotRequired[dict[str, Any]]
    _meta: NotRequired[NodeTitle]


Graph = dict[str, GraphNode]


class PngInfo(TypedDict):
    """What saved pictures hold besides their graph: the workflow with its layout."""

    workflow: NotRequired[Any]


class ExtraData(TypedDict):
    """What is kept with a job. `create_time` is the server's; the keys of `metadata` come back with every message."""

    metadata: NotRequired[dict[str, Any]]
    extra_pnginfo: NotRequired[PngInfo | None]
    client_id: NotRequired[str]
    create_time: NotRequired[int]
    preview_method: NotRequired[str]
    workflow_name: NotRequired[str]


class PromptRequest(TypedDict):
    """A graph to queue. `front` and `number` give it a place, `urgency` (-1000 to 1000) comes before both."""

    prompt: Graph
    client_id: NotRequired[str]
    prompt_id: NotRequired[str]
    extra_data: NotRequired[ExtraData]
    number: NotRequired[float]
    front: NotRequired[bool]
    urgency: NotRequired[int]
    partial_execution_targets: NotRequired[list[str]]


class Queued(TypedDict):
    """A graph that is safely queued. `node_errors` tells of outputs that will not run."""

    prompt_id: str
    number: float
    node_errors: dict[str, NodeErrors]


class ExecInfo(TypedDict):
    """The queue in a few words."""

    queue_remaining: int
    paused: bool


class QueueInfo(TypedDict):
    """How many jobs wait or run."""

    exec_info: ExecInfo


QueueItem = tuple[float, str, Graph, ExtraData, list[str]]


class Queue(TypedDict):
    """Jobs as [number, id, graph, extra data, ids of output nodes]."""

    queue_running: list[QueueItem]
    queue_pending: list[QueueItem]
    paused: bool


class Paused(TypedDict):
    """Whether waiting jobs are held back."""

    paused: bool


class ClearOrDelete(TypedDict):
    """All, or some by id."""

    clear: NotRequired[bool]
    delete: NotRequired[list[str]]


Lifecycle = ExecutionStart | ExecutionCached | ExecutionSuccess | ExecutionError | ExecutionInterrupted


class HistoryStatus(TypedDict):
    """How a job ended, and its messages in order."""

    status_str: Literal["success", "error"]
    completed: bool
    messages: list[tuple[str, Lifecycle]]


class FileEntry(TypedDict):
    """A file that a node showed; GET /view takes the three as they are."""

    filename: str
    subfolder: NotRequired[str]
    type: NotRequired[str]


Shown = dict[str, list[FileEntry | Any]]


class NodeMeta(TypedDict):
    """Which node showed something, and where clients show it."""

    node_id: str
    display_node: str
    parent_node: str | None
    real_node_id: str


class NodeCost(TypedDict):
    """What a node of a job did and took, and why it ran."""

    class_type: str
    runs: int
    cached: int
    seconds: float
    peak_bytes: int
    result_bytes: int
    reason: str


class HistoryEntry(TypedDict):
    """A job that has ended. `outputs` holds what each node showed, `nodes` what each took."""

    prompt: QueueItem
    outputs: dict[str, Shown]
    meta: dict[str, NodeMeta]
    status: HistoryStatus
    nodes: NotRequired[dict[str, NodeCost]]


JobStatus = Literal["pending", "in_progress", "completed", "failed", "cancelled"]


class JobPreview(FileEntry):
    """The file that stands for a job, and which node showed it under which name."""

    nodeId: str
    mediaType: str


class JobSummary(TypedDict):
    """A job in the list; times in milliseconds since 1970."""

    id: str
    status: JobStatus
    priority: float
    urgency: int
    create_time: int
    execution_start_time: int | None
    execution_end_time: int | None
    execution_error: ExecutionError | None
    outputs_count: int
    previewable_outputs_count: int
    preview_output: JobPreview | None
    workflow_id: str | None


class JobWorkflow(TypedDict):
    """A job's graph, and what is kept with it."""

    prompt: Graph
    extra_data: ExtraData


class Job(JobSummary):
    """A job with its graph, its outputs and what its nodes took."""

    outputs: dict[str, Shown]
    execution_status: HistoryStatus | None
    workflow: JobWorkflow
    update_time: int
    losses: int
    nodes: dict[str, NodeCost]


class Pagination(TypedDict):
    """Which part of a list it is."""

    offset: int
    limit: int | None
    total: int
    has_more: bool


class Jobs(TypedDict):
    """A part of the list of jobs."""

    jobs: list[JobSummary]
    pagination: Pagination


class JobIds(TypedDict):
    """Several jobs."""

    job_ids: list[str]


class Cancelled(TypedDict):
    """Whether there was anything to cancel."""

    cancelled: bool


class Move(TypedDict):
    """Where a waiting job goes: exactly one of these."""

    before: NotRequired[str]
    after: NotRequired[str]
    to: NotRequired[Literal["front", "back"]]
    number: NotRequired[float]


class Reordered(TypedDict):
    """False when the job does not wait any more."""

    reordered: bool


class Urgency(TypedDict):
    """Higher runs first; -1000 to 1000."""

    urgency: int


class Urged(TypedDict):
    """False when the job does not wait any more."""

    urged: bool


class Event(TypedDict):
    """A stored message and its number; `data` is as in the message of that type."""

    seq: int
    type: str
    data: dict[str, Any]


class Events(TypedDict):
    """Messages after a number; ask since `next` the next time."""

    events: list[Event]
    next: int
    has_more: bool


class ToInterrupt(TypedDict):
    """One job, or without an id whatever runs."""

    prompt_id: NotRequired[str]


class ToFree(TypedDict):
    """What is to be given back once nothing runs."""

    unload_models: NotRequired[bool]
    free_memory: NotRequired[bool]


class EstimatedNode(TypedDict):
    """What a node will take. For one that may run: why, how often (null: only the run can tell), and from which runs
    the figures are: of the `same` node with the same sizes, of an `alike` one, or of the `class`."""

    class_type: str
    verdict: Literal["run", "maybe", "cached", "not needed"]
    reason: NotRequired[str]
    rounds: NotRequired[int | None]
    basis: NotRequired[Literal["same", "alike", "class"] | None]
    samples: NotRequired[int]
    seconds: NotRequired[float | None]
    peak_bytes: NotRequired[int | None]
    result_bytes: NotRequired[int | None]


class Estimate(TypedDict):
    """What a graph will take: nodes by id, their ids by verdict, and the sums; `unknown` are nodes without figures."""

    nodes: dict[str, EstimatedNode]
    run: list[str]
    maybe: list[str]
    cached: list[str]
    not_needed: list[str]
    unknown: list[str]
    seconds: float
    at_most_seconds: float
    peak_bytes: int
    node_errors: dict[str, NodeErrors]


class WorkflowOutput(TypedDict):
    """A node of a saved workflow whose title names what it gives."""

    node_id: str
    class_type: str
    description: str


class WorkflowInput(TypedDict):
    """The JSON schema of a value; a saved workflow's own value is its `default`."""

    type: NotRequired[Literal["integer", "number", "string", "boolean"]]
    enum: NotRequired[list[Any]]
    default: Any
    description: NotRequired[str]
    minimum: NotRequired[float]
    maximum: NotRequired[float]
    examples: NotRequired[list[Any]]


class WorkflowInputs(TypedDict):
    """The JSON schema of an object of values, all of which may be left out."""

    type: NotRequired[Literal["object"]]
    properties: NotRequired[dict[str, WorkflowInput]]
    additionalProperties: NotRequired[bool]


class Workflow(TypedDict):
    """A saved workflow, the JSON schema of its inputs, and its named outputs; `error` says why it cannot run."""

    name: str
    inputs: WorkflowInputs
    outputs: dict[str, WorkflowOutput]
    error: str | None


class Workflows(TypedDict):
    """The saved workflows."""

    workflows: list[Workflow]


class RunFile(FileEntry):
    """A file that a node made; GET `url` gives it."""

    node_id: str
    url: str


class RunResult(TypedDict):
    """What an output gave: files, texts, and everything that its node showed. Empty until it has run."""

    node_id: str
    files: list[RunFile]
    text: list[str]
    shown: Shown


class Ran(TypedDict):
    """A run of a saved workflow: `results` by the names of outputs, `outputs` by the ids of nodes, all `files`."""

    prompt_id: str
    status: JobStatus
    error: ExecutionError | None
    outputs: dict[str, Shown]
    results: dict[str, RunResult]
    files: list[RunFile]
    node_errors: dict[str, NodeErrors]
