"""Questions to a worker end in an answer or in words."""

from __future__ import annotations

import asyncio

import pytest

from app.errors import Unavailable
from app.link.messages import Answer, Ask, decode, encode
from app.server.questions import Questions


async def test_answers_find_their_questions_in_any_order() -> None:
    questions, sent = Questions(), list[Ask]()

    async def send(question: Ask) -> None:
        sent.append(question)

    tasks = [asyncio.create_task(questions.ask(send, "x", {"n": n}, 5)) for n in range(3)]
    while len(sent) < 3:
        await asyncio.sleep(0)
    for question in reversed(sent):
        questions.take(Answer(question.ask_id, {"n": question.data["n"]}))
    assert [answer["n"] for answer in await asyncio.gather(*tasks)] == [0, 1, 2]
    questions.take(Answer("nobody waits for this"))


@pytest.mark.parametrize(("problem", "words"), [("ValueError: no", "could not answer: ValueError: no"), (None, "gone")])
async def test_no_answer_is_told(problem: str | None, words: str) -> None:
    questions = Questions()

    async def send(question: Ask) -> None:
        if problem is None:
            questions.fail()
        else:
            questions.take(Answer(question.ask_id, problem=problem))

    with pytest.raises(Unavailable, match=words):
        await questions.ask(send, "x", {}, 5)


async def test_silence_ends() -> None:
    async def send(question: Ask) -> None:
        """Goes nowhere."""

    with pytest.raises(Unavailable, match="did not answer"):
        await Questions().ask(send, "x", {}, 0.01)


def test_they_travel() -> None:
    for message in (Ask("1", "forecast", {"a": [1]}), Answer("1", {"b": 2}), Answer("1", problem="no")):
        assert decode(encode(message)) == message
