"""A file of tests is understood, or refused with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from app.checks.cases import Case, Expectation, files_in, read_cases
from app.errors import InvalidRequest

HERE = Path("/tests")


def test_a_whole_file() -> None:
    data = {
        "tests": [
            {
                "name": "n",
                "workflow": "a.json",
                "set": {"5:12.text": "x", "3.images.image0": 1},
                "seed": 3,
                "first": [{"3.seed": 1}],
                "expect": [{"node": "9", "like": "b.png", "psnr": 20, "image": 1}, {"succeeds": True}],
            }
        ]
    }
    (case,) = read_cases(data, HERE)
    assert case == Case(
        "n",
        HERE / "a.json",
        {("5:12", "text"): "x", ("3.images", "image0"): 1},
        3,
        ({("3", "seed"): 1},),
        (Expectation("like", "b.png", "9", 1, 20), Expectation("succeeds", True)),
    )


def test_a_folder_stands_for_the_tests_in_it(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("b.test.json", "a.json", "inner/a.test.json"):
        (tmp_path / name).write_text("{}")
    single = tmp_path / "a.json"
    assert files_in([single, tmp_path]) == [single, tmp_path / "b.test.json", tmp_path / "inner/a.test.json"]
    (tmp_path / "none").mkdir()
    with pytest.raises(InvalidRequest, match=r"no \*\.test\.json"):
        files_in([tmp_path / "none"])


def test_one_test_alone_and_without_expectations() -> None:
    (case,) = read_cases({"prompt": {"1": {"class_type": "A"}}}, HERE)
    assert (case.name, case.expect) == ("test 1", (Expectation("succeeds", True),))
    assert [each.name for each in read_cases([{"workflow": "a"}, {"workflow": "b"}], HERE)] == ["test 1", "test 2"]


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ({"tests": []}, "no test"),
        ([1], "no object"),
        ({"workflow": "a", "prompt": {}}, "either"),
        ({}, "either"),
        ({"workflow": 5}, "neither a path"),
        ({"workflow": "a", "typo": 1}, "'typo'"),
        ({"workflow": "a", "seed": "x"}, "seed"),
        ({"workflow": "a", "set": {"noport": 1}}, "by node and input"),
        ({"workflow": "a", "set": [1]}, "by node and input"),
        ({"workflow": "a", "first": {}}, "first"),
        ({"workflow": "a", "expect": {}}, "expect must be a list"),
        ({"workflow": "a", "expect": [{}]}, "one of succeeds"),
        ({"workflow": "a", "expect": [{"succeeds": True, "error": "x"}]}, "one of succeeds"),
        ({"workflow": "a", "expect": [{"size": [1, 2]}]}, "of which node"),
        ({"workflow": "a", "expect": [{"node": "1", "size": [1, 2], "psnr": 3}]}, "'psnr'"),
        ({"workflow": "a", "expect": [{"node": "1", "like": "x", "psnr": "high"}]}, "numbers"),
    ],
)
def test_what_is_wrong_is_named(data: Any, words: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        read_cases(data, HERE)
    assert words in refused.value.message
    assert refused.value.remedy


def test_an_expectation_in_words() -> None:
    assert str(Expectation("size", [1, 2], "9")) == "node 9: size [1, 2]"
    assert str(Expectation("succeeds", True)) == "succeeds True"
