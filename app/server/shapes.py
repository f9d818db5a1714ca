"""What the API takes and answers, as types. `schema` makes JSON schemas of them, tests hold the answers to them.

Sizes are in bytes. Times are seconds since 1970 where they are floats, milliseconds where they are whole numbers.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class Fault(TypedDict):
    """What is wrong, and the way out. `extra_info` names input and value where there are such."""

    type: str
    message: str
    details: str
    extra_info: dict[str, Any]
    remedy: str


class Refusal(TypedDict):
    """The answer to what cannot be done; `node_errors` is for graphs, by node."""

    error: Fault
    node_errors: dict[str, Any]


class PromptRequest(TypedDict):
    """A graph to queue. `front` and `number` give it a place, `urgency` (-1000 to 1000) comes before both."""

    prompt: dict[str, Any]
    client_id: NotRequired[str]
    prompt_id: NotRequired[str]
    extra_data: NotRequired[dict[str, Any]]
    number: NotRequired[float]
    front: NotRequired[bool]
    urgency: NotRequired[int]
    partial_execution_targets: NotRequired[list[str]]


class Queued(TypedDict):
    """A graph that is safely queued. `node_errors` tells of outputs that will not run."""

    prompt_id: str
    number: float
    node_errors: dict[str, Any]


class ExecInfo(TypedDict):
    """The queue in a few words."""

    queue_remaining: int
    paused: bool


class QueueInfo(TypedDict):
    """How many jobs wait or run."""

    exec_info: ExecInfo


class Queue(TypedDict):
    """Jobs as [number, id, graph, extra data, outputs]."""

    queue_running: list[list[Any]]
    queue_pending: list[list[Any]]
    paused: bool


class Paused(TypedDict):
    """Whether waiting jobs are held back."""

    paused: bool


class ClearOrDelete(TypedDict):
    """All, or some by id."""

    clear: NotRequired[bool]
    delete: NotRequired[list[str]]


class HistoryStatus(TypedDict):
    """How a job ended, and its messages in order."""

    status_str: Literal["success", "error"]
    completed: bool
    messages: list[Any]


class HistoryEntry(TypedDict):
    """A job that has ended. `outputs` holds what each node showed, `nodes` what each took."""

    prompt: list[Any]
    outputs: dict[str, Any]
    meta: dict[str, Any]
    status: HistoryStatus
    nodes: NotRequired[dict[str, Any]]


JobStatus = Literal["pending", "in_progress", "completed", "failed", "cancelled"]


class JobSummary(TypedDict):
    """A job in the list; times in milliseconds since 1970."""

    id: str
    status: JobStatus
    priority: float
    urgency: int
    create_time: int
    execution_start_time: int | None
    execution_end_time: int | None
    execution_error: dict[str, Any] | None
    outputs_count: int
    previewable_outputs_count: int
    preview_output: dict[str, Any] | None
    workflow_id: str | None


class Job(JobSummary):
    """A job with its graph, its outputs and what its nodes took."""

    outputs: dict[str, Any]
    execution_status: dict[str, Any] | None
    workflow: dict[str, Any]
    update_time: int
    losses: int
    nodes: dict[str, Any]


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
    """A stored message and its number."""

    seq: int
    type: str
    data: Any


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


class FileReference(TypedDict):
    """A file as graphs and /view name it."""

    name: str
    subfolder: str
    type: str


class ModelFolder(TypedDict):
    """A kind of models and where they are looked for."""

    name: str
    folders: list[str]


class ModelFile(TypedDict):
    """A file of models; `pathIndex` counts the folders of its kind."""

    name: str
    pathIndex: int
    modified: float
    created: float
    size: int


class UserFile(TypedDict):
    """A file of the user's."""

    path: str
    size: int
    modified: float
    created: float


class Leaf(TypedDict):
    """A file or folder in the tree of the user's files."""

    name: str
    path: str
    type: Literal["file", "directory"]
    size: NotRequired[int]
    modified: NotRequired[float]


class Users(TypedDict):
    """Where settings are kept; for one user whether there are any yet, for several their names by id."""

    storage: Literal["server"]
    migrated: NotRequired[bool]
    users: NotRequired[dict[str, str]]


class NewUser(TypedDict):
    """Who is to be added."""

    username: str


class SystemStats(TypedDict):
    """The machine and its devices."""

    system: dict[str, Any]
    devices: list[dict[str, Any]]


class Packs(TypedDict):
    """Node packs; with `safe_mode` none is loaded."""

    packs: list[dict[str, Any]]
    safe_mode: bool


class PackSwitch(TypedDict):
    """On or off, and whether workers start again for it."""

    enabled: bool
    restart: NotRequired[bool]


class PackSwitched(TypedDict):
    """How the pack is now."""

    name: str
    enabled: bool
    restarted: bool


class LogLine(TypedDict):
    """A line of the log: its time as ISO 8601, and its text."""

    t: str
    m: str


class TerminalSize(TypedDict):
    """Columns and rows that log lines are made for."""

    cols: int
    rows: int


class Logs(TypedDict):
    """The last lines of the log."""

    entries: list[LogLine]
    size: TerminalSize


class Subscription(TypedDict):
    """Whether a client of the socket hears log lines."""

    clientId: str
    enabled: NotRequired[bool]


class Subgraph(TypedDict):
    """A published subgraph; `data` is its workflow as text."""

    source: str
    name: str
    info: dict[str, Any]
    data: NotRequired[str]


class Estimate(TypedDict):
    """What a graph will take."""

    nodes: dict[str, Any]


class WorkflowOutput(TypedDict):
    """A node of a saved workflow whose title names what it gives."""

    node_id: str
    class_type: str
    description: str


class Workflow(TypedDict):
    """A saved workflow, the JSON schema of its inputs, and its named outputs; `error` says why it cannot run."""

    name: str
    inputs: dict[str, Any]
    outputs: dict[str, WorkflowOutput]
    error: str | None


class Workflows(TypedDict):
    """The saved workflows."""

    workflows: list[Workflow]


class RunFile(TypedDict):
    """A file that a node made; GET `url` gives it."""

    filename: str
    node_id: str
    url: str
    subfolder: NotRequired[str]
    type: NotRequired[str]


class RunResult(TypedDict):
    """What an output gave: files, texts, and everything that its node showed. Empty until it has run."""

    node_id: str
    files: list[RunFile]
    text: list[str]
    shown: dict[str, Any]


class Ran(TypedDict):
    """A run of a saved workflow: `results` by the names of outputs, `outputs` by the ids of nodes, all `files`."""

    prompt_id: str
    status: JobStatus
    error: dict[str, Any] | None
    outputs: dict[str, Any]
    results: dict[str, RunResult]
    files: list[RunFile]
    node_errors: dict[str, Any]
