from __future__ import annotations

from typing import Any

import pytest

from app.errors import InvalidRequest


@pytest.mark.parametrize(
    ("node_id", "inputs", "result"),
    [
        ("StringConcatenate", {"string_a": "a", "string_b": "b", "delimiter": ", "}, "a, b"),
        ("StringSubstring", {"string": "abcdef", "start": 1, "end": -1}, "bcde"),
        ("StringLength", {"string": "abc"}, 3),
        ("CaseConverter", {"string": "aB c", "mode": "UPPERCASE"}, "AB C"),
        ("CaseConverter", {"string": "aB c", "mode": "lowercase"}, "ab c"),
        ("CaseConverter", {"string": "aB c", "mode": "Capitalize"}, "Ab c"),
        ("CaseConverter", {"string": "aB c", "mode": "Title Case"}, "Ab C"),
        ("StringTrim", {"string": "  a ", "mode": "Both"}, "a"),
        ("StringTrim", {"string": "  a ", "mode": "Left"}, "a "),
        ("StringTrim", {"string": "  a ", "mode": "Right"}, "  a"),
        ("StringReplace", {"string": "a.a", "find": ".", "replace": "-"}, "a-a"),
        ("StringContains", {"string": "Hello", "substring": "hell"}, False),
        ("StringContains", {"string": "Hello", "substring": "hell", "case_sensitive": False}, True),
        ("StringCompare", {"string_a": "Hello", "string_b": "He", "mode": "Starts With"}, True),
        ("StringCompare", {"string_a": "Hello", "string_b": "LO", "mode": "Ends With", "case_sensitive": False}, True),
        ("StringCompare", {"string_a": "Hello", "string_b": "hello", "mode": "Equal"}, False),
        ("RegexMatch", {"string": "a1", "regex_pattern": r"\d$"}, True),
        ("RegexMatch", {"string": "A", "regex_pattern": "a", "case_insensitive": False}, False),
        ("RegexMatch", {"string": "a\nb", "regex_pattern": "^b", "multiline": True}, True),
        ("RegexMatch", {"string": "a\nb", "regex_pattern": "a.b", "dotall": True}, True),
        ("RegexExtract", {"string": "a1 b2", "regex_pattern": r"\w\d", "mode": "First Match"}, "a1"),
        ("RegexExtract", {"string": "a1 b2", "regex_pattern": r"\w\d", "mode": "All Matches"}, "a1\nb2"),
        (
            "RegexExtract",
            {"string": "a1 b2", "regex_pattern": r"(\w)(\d)", "mode": "First Group", "group_index": 2},
            "1",
        ),
        ("RegexExtract", {"string": "a1 b2", "regex_pattern": r"(\w)(\d)", "mode": "All Groups"}, "a\nb"),
        ("RegexExtract", {"string": "a1", "regex_pattern": "x", "mode": "First Match"}, ""),
        ("RegexExtract", {"string": "a1", "regex_pattern": "a", "mode": "First Group", "group_index": 9}, ""),
        ("RegexReplace", {"string": "a1b2", "regex_pattern": r"(\d)", "replace": r"<\1>"}, "a<1>b<2>"),
        ("RegexReplace", {"string": "aaa", "regex_pattern": "a", "replace": "b", "count": 2}, "bba"),
    ],
)
def test_texts(bench: Any, node_id: str, inputs: dict[str, Any], result: Any) -> None:
    assert bench(node_id, **inputs) == result


@pytest.mark.parametrize(
    ("node_id", "inputs"),
    [
        ("RegexMatch", {"string": "a", "regex_pattern": "("}),
        ("RegexExtract", {"string": "a", "regex_pattern": "[", "mode": "First Match"}),
        ("RegexReplace", {"string": "a", "regex_pattern": "a", "replace": r"\9"}),
    ],
)
def test_patterns_that_are_not_understood_are_told(bench: Any, node_id: str, inputs: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="not understood") as told:
        bench(node_id, **inputs)
    assert told.value.remedy
