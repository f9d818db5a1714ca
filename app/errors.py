"""The errors that Latent Loom raises on purpose. Standard library only.

AppError
    InvalidRequest      a request or setting that cannot be understood            400
        InvalidPrompt   a graph that cannot run: unknown node, cycle, bad value   400
        TooLarge        a body, an image or a nesting past its limit              413
    Forbidden           an address, path or origin that is not allowed            403
    Missing             a file, job, node or route that is not there              404
    Conflict            the same key with other content, a wrong state            409
    Unavailable         nothing can serve this now; try again later               503
    UnusableFile        a weights or image file that is damaged or foreign        400
        UnknownFamily   a weights file that no known architecture matches         400
    OutOfMemory         more bytes needed than there are                          507
    Cancelled           somebody asked for the run to stop                        409
"""

from __future__ import annotations


class AppError(Exception):
    """An expected failure, told so that a beginner can act on it.

    `message` says what is wrong and carries the offending value; `remedy` says the way out.
    """

    status = 400
    kind = "error"

    def __init__(self, message: str, *, remedy: str = "", node_id: str | None = None, input_name: str | None = None):
        super().__init__(message)
        self.message = message
        self.remedy = remedy
        self.node_id = node_id
        self.input_name = input_name

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class InvalidRequest(AppError):
    """A request or setting that cannot be understood."""

    kind = "invalid_request"


class InvalidPrompt(InvalidRequest):
    """A graph that cannot run. `kind` and `node_errors` are in the shape that `POST /prompt` answers."""

    kind = "invalid_prompt"

    def __init__(
        self,
        message: str,
        *,
        kind: str = "invalid_prompt",
        details: str = "",
        extra_info: dict[str, object] | None = None,
        node_errors: dict[str, dict[str, object]] | None = None,
        remedy: str = "",
        input_name: str | None = None,
    ):
        super().__init__(message, remedy=remedy, input_name=input_name)
        self.kind = kind
        self.details = details
        self.extra_info = extra_info or {}
        self.node_errors = node_errors or {}


class TooLarge(InvalidRequest):
    """A body, an image or a nesting past its limit."""

    status = 413
    kind = "too_large"


class Forbidden(AppError):
    """An address, a path or an origin that is not allowed."""

    status = 403
    kind = "forbidden"


class Missing(AppError):
    """A file, a job, a node or a route that is not there."""

    status = 404
    kind = "missing"


class Conflict(AppError):
    """The same key with other content, or a state that does not allow the request."""

    status = 409
    kind = "conflict"


class Unavailable(AppError):
    """Nothing can serve this now; trying again later may help."""

    status = 503
    kind = "unavailable"


class UnusableFile(AppError):
    """A weights or image file that is damaged or of a foreign format."""

    kind = "unusable_file"


class UnknownFamily(UnusableFile):
    """A weights file that no known architecture matches."""

    kind = "unknown_family"


class OutOfMemory(AppError):
    """More bytes are needed than there are."""

    status = 507
    kind = "out_of_memory"


class Cancelled(AppError):
    """Somebody asked for the run to stop."""

    status = 409
    kind = "cancelled"


# Where a library has no error type of its own for it: PyTorch in main memory, C++ underneath, accelerators' drivers.
_NO_MEMORY = ("DefaultCPUAllocator", "not enough memory: you tried to allocate", "std::bad_alloc", "out of memory")


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory did not suffice, in main memory or on a device, whoever raised it."""
    return isinstance(error, MemoryError | RuntimeError | OutOfMemory) and tells_of_memory(
        type(error).__name__, str(error)
    )


def tells_of_memory(kind: str, message: str) -> bool:
    """Whether an error of that type with that message says that memory did not suffice."""
    return kind == "MemoryError" or "OutOfMemory" in kind or any(words in message for words in _NO_MEMORY)
