"""What clients are told, as types: messages of the socket, node classes, and the answer that says no.

The editor's own types are made from these (`python -m tests.web.generate_types`), and tests hold real messages against
them. A message may carry more keys than are named here.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


class ExecInfo(TypedDict):
    """The queue in numbers."""

    queue_remaining: int
    paused: bool


class QueueStatus(TypedDict):
    """What `status` holds."""

    exec_info: ExecInfo


class Status(TypedDict):
    """How long the queue is; `sid` is the client's id, told on connection."""

    status: QueueStatus
    sid: NotRequired[str]


class ExecutionStart(TypedDict):
    """A worker took the job. Times are in milliseconds since 1970."""

    prompt_id: str
    timestamp: int


class ExecutionCached(TypedDict):
    """The nodes of the prompt that have a stored result."""

    prompt_id: str
    nodes: list[str]
    timestamp: int


class Executing(TypedDict):
    """A node begins; null when the run is over."""

    prompt_id: str
    node: str | None
    display_node: NotRequired[str]


class ProgressData(TypedDict):
    """A node has done `value` of `max` units."""

    prompt_id: str
    node: str
    value: float
    max: float


class NodeProgress(TypedDict):
    """A node in the table of all that have begun."""

    value: float
    max: float
    state: Literal["running", "finished", "pending", "error"]
    node_id: str
    prompt_id: str
    display_node_id: str
    parent_node_id: str | None
    real_node_id: str


class ProgressState(TypedDict):
    """Every node that has begun, by id."""

    prompt_id: str
    nodes: dict[str, NodeProgress]


class Executed(TypedDict):
    """What a node shows; null where it comes from the cache and shows nothing new."""

    prompt_id: str
    node: str
    display_node: str
    output: dict[str, list[Any]] | None


class ExecutionSuccess(TypedDict):
    """The run is over and good."""

    prompt_id: str
    timestamp: int


class ExecutionInterrupted(TypedDict):
    """Somebody stopped the run while this node ran."""

    prompt_id: str
    timestamp: int
    node_id: str
    node_type: str
    executed: list[str]


class ExecutionError(TypedDict):
    """A node failed, or was not run because its input is blocked (then `exception_type` is ExecutionBlocked).

    `input_name` is the input that is to blame, null where none is known.
    """

    prompt_id: str
    timestamp: NotRequired[int]
    node_id: str
    node_type: str
    executed: list[str]
    exception_message: str
    exception_type: str
    traceback: list[str]
    current_inputs: dict[str, list[Any]] | list[Any]
    current_outputs: list[str]
    remedy: NotRequired[str]
    input_name: NotRequired[str | None]


class JobRequeued(TypedDict):
    """The worker was lost; the run starts again by itself."""

    prompt_id: str
    reason: str
    losses: int
    timestamp: int


class FeatureFlags(TypedDict):
    """What the server can do."""

    supports_preview_metadata: bool
    max_upload_size: int
    node_replacements: bool
    assets: bool
    latent_loom: dict[str, bool]


class NodesChanged(TypedDict):
    """A worker brought its node classes: ask for `GET /object_info` again."""

    count: int


class LogEntry(TypedDict):
    """A line of the log: its time as ISO 8601, and its text."""

    t: str
    m: str


class LogLines(TypedDict):
    """New lines of the log, for who has subscribed to them."""

    entries: list[LogEntry]
    size: dict[str, int] | None


class Messages(TypedDict):
    """The data of each message by its type."""

    status: Status
    feature_flags: FeatureFlags
    execution_start: ExecutionStart
    execution_cached: ExecutionCached
    executing: Executing
    progress: ProgressData
    progress_state: ProgressState
    executed: Executed
    execution_success: ExecutionSuccess
    execution_interrupted: ExecutionInterrupted
    execution_error: ExecutionError
    job_requeued: JobRequeued
    nodes_changed: NodesChanged
    logs: LogLines


class Announcement(TypedDict):
    """What a client may say first: the features that it has, such as supports_preview_metadata."""

    type: Literal["feature_flags"]
    data: dict[str, Any]


class PreviewMetadata(TypedDict):
    """What is told beside a picture of a node's work."""

    node_id: str
    prompt_id: str
    display_node_id: str
    parent_node_id: str | None
    real_node_id: str
    image_type: Literal["image/jpeg", "image/png"]


class NodeInputs(TypedDict):
    """The inputs of a class by section and name: [type, options]; a list as type holds a combo's options."""

    required: dict[str, list[Any]]
    optional: NotRequired[dict[str, list[Any]]]
    hidden: NotRequired[dict[str, str]]


class NodeInfo(TypedDict):
    """A node class as `GET /object_info` tells it."""

    input: NodeInputs
    input_order: dict[str, list[str]]
    is_input_list: bool
    output: list[str | list[Any]]
    output_is_list: list[bool]
    output_name: list[str]
    output_tooltips: list[str]
    name: str
    display_name: str
    description: str
    python_module: str
    category: str
    output_node: bool
    deprecated: bool
    experimental: bool
    search_aliases: list[str]
    essentials_category: NotRequired[str]


class ExtraInfo(TypedDict):
    """What a refusal is about, as far as there is such: a node, its input, what it takes, what it was given."""

    node_id: NotRequired[str]
    class_type: NotRequired[str]
    node_title: NotRequired[str]
    input_name: NotRequired[str]
    input_config: NotRequired[list[Any] | None]
    received_value: NotRequired[Any]
    received_type: NotRequired[Any]
    linked_node: NotRequired[list[Any]]
    exception_message: NotRequired[str]
    exception_type: NotRequired[str]
    traceback: NotRequired[list[str]]
    remedy: NotRequired[str]


class Refusal(TypedDict):
    """Why a request was refused, and the way out."""

    type: str
    message: str
    details: str
    extra_info: ExtraInfo
    remedy: str


class Complaint(TypedDict):
    """What is wrong with an input of a node."""

    type: str
    message: str
    details: str
    extra_info: ExtraInfo


class NodeErrors(TypedDict):
    """What is wrong with a node, and which outputs do not run because of it."""

    errors: list[Complaint]
    dependent_outputs: list[str]
    class_type: str


class ErrorBody(TypedDict):
    """The body of every answer that says no."""

    error: Refusal
    node_errors: dict[str, NodeErrors]
