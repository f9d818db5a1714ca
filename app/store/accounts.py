"""The users of a server with `--multi-user`: names by id, and a folder for each."""

from __future__ import annotations

import json
import re
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from app.errors import AppError, InvalidRequest
from app.graph.json_values import is_dict
from app.store.settings_file import write_atomically
from app.store.userdata import UserFiles

DEFAULT = "default"
_UNUSUAL = re.compile(r"[^A-Za-z0-9-_]+")
_ID = re.compile(r"[A-Za-z0-9-_]{1,255}")
_LONGEST_NAME = 100


class UnknownUser(AppError):
    """A request names a user that there is not."""

    status = 401
    kind = "unknown_user"


@dataclass(frozen=True, slots=True)
class Accounts:
    """The users below `root`, by `root/users.json`. `DEFAULT` is always one, and listed only if it is in the file."""

    root: Path

    def names(self) -> dict[str, str]:
        """Names by id; ids that are no plain names of folders are left out, whoever wrote them."""
        try:
            found: Any = json.loads((self.root / "users.json").read_text("utf-8"))
        except (OSError, ValueError, RecursionError):
            return {}
        known = found.items() if is_dict(found) else ()
        return {user: str(name) for user, name in known if _ID.fullmatch(user)}

    def add(self, name: str) -> str:
        """Add a user and give the id.

        Raises:
            InvalidRequest: the name is taken, or none.
        """
        name = name.strip()
        if not 0 < len(name) <= _LONGEST_NAME or not name.isprintable():
            raise InvalidRequest(
                f"A user cannot be called {name[:40]!r}.", remedy=f"Use 1 to {_LONGEST_NAME} printable characters."
            )
        names = self.names()
        if name in names.values():
            raise InvalidRequest("Duplicate username.", remedy="Choose that user, or another name.")
        user = f"{_UNUSUAL.sub('-', name)}_{uuid.uuid4()}"
        write_atomically(self.root / "users.json", json.dumps({**names, user: name}, indent=4).encode())
        return user

    def files(self, user: str) -> UserFiles:
        """The files of a user.

        Raises:
            UnknownUser: there is no such one.
        """
        if user != DEFAULT and user not in self.names():
            raise UnknownUser(f"There is no user {user[:80]!r}.", remedy="GET /users lists them; POST /users adds one.")
        return UserFiles(self.root / user)
