"""The one place that turns a name from outside into a path inside a folder."""

from __future__ import annotations

import re
from pathlib import Path

from app.errors import Forbidden

_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³]|conin\$|conout\$)(\..*)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_LONGEST_NAME = 1024


def check_name(name: str) -> tuple[str, ...]:
    """The parts of a relative name, safe on every system whichever one this is.

    Windows' forms are refused everywhere (drives, backslashes, streams, device names, trailing dots and blanks), so
    that a base directory can move between systems and no rule depends on where it is checked.

    Raises:
        Forbidden: an absolute name, one that climbs, or one that some system reads as something else.
    """
    try:
        encoded = name.encode()
    except UnicodeEncodeError as broken:
        raise _refusal(ascii(name), "is not valid text") from broken
    if len(encoded) > _LONGEST_NAME:
        raise _refusal(f"{name[:60]}…", "is too long")
    if _CONTROL.search(name) or "\\" in name or ":" in name or name.startswith("/"):
        raise _refusal(ascii(name), "holds a character that a relative name may not hold")
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    for part in parts:
        if part == ".." or part != part.rstrip(". ") or _RESERVED.fullmatch(part) or len(part.encode()) > 255:
            raise _refusal(ascii(name), "is not a plain relative name")
    return parts


def inside(root: Path, name: str, *, follow_links: bool = False) -> Path:
    """The path of `name` below `root`; `root` itself for an empty name. The path need not exist.

    Args:
        root: the folder that must not be left.
        name: a relative name with "/" between its parts.
        follow_links: let symbolic links lead out of `root`. Only for folders whose links the machine's owner made,
            such as models; never for folders that clients write to.

    Raises:
        Forbidden: the name, or a link on its way, leaves `root`.
    """
    path = root.joinpath(*check_name(name))
    if follow_links:
        return path
    try:
        landed = path.resolve()
    except (OSError, RuntimeError) as broken:  # a loop of links
        raise _refusal(ascii(name), "cannot be followed") from broken
    if not landed.is_relative_to(root.resolve()):
        raise _refusal(ascii(name), "leads out of its folder")
    return path


def _refusal(name: str, reason: str) -> Forbidden:
    return Forbidden(f"The name {name} {reason}.", remedy="Use a plain name, with / between folders.")
