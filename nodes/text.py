"""Nodes that work on texts."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from app.api import Optionally, Range, Text, node
from app.errors import InvalidRequest

Lines = Annotated[str, Text(multiline=True)]
CATEGORY = "utils/string"


@node("Concatenate", category=CATEGORY, id="StringConcatenate", aliases=("join", "append"))
def string_concatenate(*, string_a: Lines, string_b: Lines, delimiter: str = "") -> str:
    """Joins two texts into one.

    Args:
        delimiter: What stands between them.
    """
    return f"{string_a}{delimiter}{string_b}"


@node("Substring", category=CATEGORY, id="StringSubstring", aliases=("cut",))
def string_substring(*, string: Lines, start: int, end: int) -> str:
    """Takes a part of a text; positions count from 0, negative ones from the end."""
    return string[start:end]


@node("Length", category=CATEGORY, id="StringLength", outputs=("length",))
def string_length(*, string: Lines) -> int:
    """Counts the characters of a text."""
    return len(string)


@node("Case Converter", category=CATEGORY, id="CaseConverter", aliases=("upper", "lower"))
def case_converter(*, string: Lines, mode: Literal["UPPERCASE", "lowercase", "Capitalize", "Title Case"]) -> str:
    """Changes capitals and small letters."""
    change = {"UPPERCASE": str.upper, "lowercase": str.lower, "Capitalize": str.capitalize, "Title Case": str.title}
    return change[mode](string)


@node("Trim", category=CATEGORY, id="StringTrim", aliases=("strip",))
def string_trim(*, string: Lines, mode: Literal["Both", "Left", "Right"]) -> str:
    """Takes blanks away from the ends of a text."""
    return {"Both": str.strip, "Left": str.lstrip, "Right": str.rstrip}[mode](string)


@node("Replace", category=CATEGORY, id="StringReplace", aliases=("substitute",))
def string_replace(*, string: Lines, find: Lines, replace: Lines) -> str:
    """Replaces every occurrence of a text in a text."""
    return string.replace(find, replace)


@node("Contains", category=CATEGORY, id="StringContains", outputs=("contains",))
def string_contains(*, string: Lines, substring: Lines, case_sensitive: bool = True) -> bool:
    """Tells whether a text holds another."""
    text, wanted = (string, substring) if case_sensitive else (string.casefold(), substring.casefold())
    return wanted in text


@node("Compare", category=CATEGORY, id="StringCompare", aliases=("equal",))
def string_compare(
    *,
    string_a: Lines,
    string_b: Lines,
    mode: Literal["Starts With", "Ends With", "Equal"],
    case_sensitive: bool = True,
) -> bool:
    """Tells whether two texts agree."""
    a, b = (string_a, string_b) if case_sensitive else (string_a.casefold(), string_b.casefold())
    return {"Starts With": a.startswith, "Ends With": a.endswith, "Equal": a.__eq__}[mode](b)


@node("Regex Match", category=CATEGORY, id="RegexMatch", outputs=("matches",))
def regex_match(
    *,
    string: Lines,
    regex_pattern: Lines,
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
) -> bool:
    """Tells whether a pattern occurs in a text."""
    return pattern(regex_pattern, case_insensitive, multiline, dotall).search(string) is not None


@node("Regex Extract", category=CATEGORY, id="RegexExtract")
def regex_extract(
    *,
    string: Lines,
    regex_pattern: Lines,
    mode: Literal["First Match", "All Matches", "First Group", "All Groups"],
    case_insensitive: bool = True,
    multiline: bool = False,
    dotall: bool = False,
    group_index: Annotated[int, Range(0, 100)] = 1,
) -> str:
    """Takes what a pattern finds out of a text; several finds stand on lines of their own."""
    found = list(pattern(regex_pattern, case_insensitive, multiline, dotall).finditer(string))
    if mode.startswith("First"):
        found = found[:1]
    group = group_index if mode.endswith(("Group", "Groups")) else 0
    return "\n".join(match[group] or "" for match in found if group <= len(match.groups()))


@node("Regex Replace", category=CATEGORY, id="RegexReplace")
def regex_replace(
    *,
    string: Lines,
    regex_pattern: Lines,
    replace: Lines,
    case_insensitive: Annotated[bool, Optionally()] = True,
    multiline: Annotated[bool, Optionally()] = False,
    dotall: Annotated[bool, Optionally()] = False,
    count: Annotated[int, Range(0, 100), Optionally()] = 0,
) -> str:
    """Replaces what a pattern finds.

    Args:
        count: How many finds are replaced; 0 for all.
    """
    try:
        return pattern(regex_pattern, case_insensitive, multiline, dotall).sub(replace, string, count)
    except (re.error, IndexError) as error:
        raise InvalidRequest(
            f"The replacement {replace!r} is not understood: {error}.",
            remedy="Write \\1 for the first group and \\\\ for a backslash.",
        ) from error


def pattern(text: str, ignore_case: bool, lines: bool, dot_all: bool) -> re.Pattern[str]:
    """A compiled pattern. Raises InvalidRequest for one that is not understood."""
    chosen = zip((ignore_case, lines, dot_all), (re.IGNORECASE, re.MULTILINE, re.DOTALL), strict=True)
    try:
        return re.compile(text, sum(flag for wanted, flag in chosen if wanted))
    except re.error as error:
        raise InvalidRequest(
            f"The pattern {text!r} is not understood: {error}.", remedy="Check its brackets and backslashes."
        ) from error
