"""Questions to a worker, and their answers, which may come in any order or not at all."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from app.errors import Unavailable
from app.link.messages import Answer, Ask


@dataclass(eq=False, slots=True)
class Questions:
    """The open questions to one worker. All of it happens on the event loop."""

    _open: dict[str, asyncio.Future[Answer]] = field(default_factory=dict[str, "asyncio.Future[Answer]"])

    async def ask(
        self, send: Callable[[Ask], Awaitable[None]], about: str, data: Mapping[str, Any], seconds: float
    ) -> Mapping[str, Any]:
        """Ask and wait for the answer.

        Raises:
            Unavailable: the worker is gone, does not answer in time, or cannot answer; the message says which.
        """
        question = Ask(uuid.uuid4().hex, about, data)
        waiting = asyncio.get_running_loop().create_future()
        self._open[question.ask_id] = waiting
        try:
            await send(question)
            answer = await asyncio.wait_for(waiting, seconds)
        except TimeoutError:
            raise Unavailable(
                f"The worker did not answer within {seconds:.0f} s.", remedy="Try again when it is less busy."
            ) from None
        except ConnectionError as lost:
            raise Unavailable("The worker is gone.", remedy="Try again in a moment.") from lost
        finally:
            self._open.pop(question.ask_id, None)
        if answer.problem:
            raise Unavailable(f"The worker could not answer: {answer.problem}", remedy="See the log for the cause.")
        return answer.data

    def take(self, answer: Answer) -> None:
        """An answer has come; one that nobody waits for any more is dropped."""
        waiting = self._open.get(answer.ask_id)
        if waiting is not None and not waiting.done():
            waiting.set_result(answer)

    def fail(self) -> None:
        """The worker is gone: whoever waits is told."""
        for waiting in self._open.values():
            if not waiting.done():
                waiting.set_exception(ConnectionError("the worker is gone"))
