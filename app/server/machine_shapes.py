"""What the API takes and answers about files, models, packs, users and the machine, as types; see `shapes`.

Sizes are in bytes. Times are seconds since 1970.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict


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


class System(TypedDict):
    """The machine and the programs."""

    os: str
    ram_total: int
    ram_free: int
    comfyui_version: str
    latent_loom_version: str
    required_frontend_version: str | None
    installed_templates_version: str | None
    required_templates_version: str | None
    python_version: str
    pytorch_version: str
    embedded_python: bool
    platform: str
    argv: list[str]
    workers: int


class Device(TypedDict):
    """A device of a worker; `torch_vram` is what PyTorch has of its memory."""

    name: str
    type: str
    index: int | None
    vram_total: int
    vram_free: int
    torch_vram_total: NotRequired[int]
    torch_vram_free: NotRequired[int]


class SystemStats(TypedDict):
    """The machine and its devices."""

    system: System
    devices: list[Device]


class NewInput(TypedDict):
    """Where an input of a new class comes from: an old input, or a value."""

    new_id: str
    old_id: NotRequired[str]
    set_value: NotRequired[Any]


class NewOutput(TypedDict):
    """Which old output a new one stands for; both count from 0."""

    new_idx: int
    old_idx: int


class Replacement(TypedDict):
    """What stands in for an old class; null keeps names and places."""

    old_node_id: str
    new_node_id: str
    old_widget_ids: list[str] | None
    input_mapping: list[NewInput] | None
    output_mapping: list[NewOutput] | None


class Template(TypedDict):
    """A graph to begin with; it is at /templates/NAME.json, its picture at /templates/NAME-1.webp."""

    name: str
    title: str
    description: str
    mediaType: str
    mediaSubtype: str


class TemplateGroup(TypedDict):
    """Templates that belong together."""

    moduleName: str
    title: str
    type: str
    templates: list[Template]


class NodeFailure(TypedDict):
    """A pack that could not be loaded."""

    name: str
    message: str
    traceback: NotRequired[str]


class PackReport(TypedDict):
    """A node pack: `error` says why it is not in use and `remedy` the way out, `problems` what of it is not;
    `missing` are lines of its requirements, `web` is the name in addresses and the folder of its scripts."""

    name: str
    loaded: bool
    enabled: bool
    path: NotRequired[str]
    seconds: NotRequired[float]
    nodes: NotRequired[list[str]]
    error: NotRequired[str]
    remedy: NotRequired[str]
    traceback: NotRequired[str]
    problems: NotRequired[list[str]]
    missing: NotRequired[list[str]]
    web: NotRequired[list[str] | None]


class Packs(TypedDict):
    """Node packs; with `safe_mode` only those of --whitelist-custom-nodes are loaded."""

    packs: list[PackReport]
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


class SubgraphInfo(TypedDict):
    """Which pack a subgraph is of."""

    node_pack: str


class Subgraph(TypedDict):
    """A published subgraph; `data` is its workflow as text."""

    source: str
    name: str
    info: SubgraphInfo
    data: NotRequired[str]
