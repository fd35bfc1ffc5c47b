"""An OpenAI-compatible server on this machine that answers, and fails, as a test wants it to.

Tests reach it through the fixture ``scripted_server``, which starts one and stops it after the test::

    server = scripted_server([scripted_server.reply(status=503), "the text of a completion"])
    server = scripted_server(lambda body: json.dumps({"questions": [...]}))
    ... server.url, server.requests[0].body["messages"] ...

A script is a list of replies, the last of which stays, or a function from the body of a request to a reply. A reply
that is a string is a completion with this text.
"""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from aiohttp import web


@dataclass(frozen=True)
class Reply:
    """How one request is answered.

    Attributes:
        status: of HTTP.
        body: JSON value, or text, or bytes.
        headers: of the answer.
        delay: seconds before it is sent.
        together: it is held back until so many requests have been open at once.
        ends: "whole"; "half": the connection is closed in the middle of the body; "closed": it is closed without an
            answer; "never": nothing happens.
    """

    status: int = 200
    body: Any = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    together: int = 0
    ends: Literal["whole", "half", "closed", "never"] = "whole"

    @property
    def content(self) -> bytes:
        """The body as it is sent."""
        if isinstance(self.body, bytes):
            return self.body
        return (self.body if isinstance(self.body, str) else json.dumps(self.body)).encode()


Script = Callable[[Any], "Reply | str"] | Sequence["Reply | str"]


@dataclass(frozen=True)
class Seen:
    """A request as it arrived."""

    path: str
    headers: Mapping[str, str]
    body: Any


def completion(text: str | None, *, finish: str = "stop", usage: Any = None, **message: Any) -> dict[str, Any]:
    """The body of a completion; further fields go into its message."""
    counts = {"prompt_tokens": 11, "completion_tokens": 7} if usage is None else usage
    choice = {"index": 0, "finish_reason": finish, "message": {"role": "assistant", "content": text, **message}}
    return {"id": "c", "object": "chat.completion", "model": "m", "choices": [choice], "usage": counts}


class ScriptedServer:
    """A server in a thread of its own; see the top of this file.

    Attributes:
        url: what ``--url`` is to be.
        requests: all that arrived, in that order.
        most_at_once: requests that were open at the same time.
        given_up: requests whose client went away.
    """

    def __init__(self, script: Script) -> None:
        self._script = script if callable(script) else _in_order(script)
        self.requests: list[Seen] = []
        self.most_at_once = self.given_up = self._open = 0
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/v1"
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), daemon=True)
        self._thread.start()
        self._ready.wait()

    def stop(self) -> None:
        """Close all connections, and take no more."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._stopped = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application(client_max_size=1 << 24)
        application.router.add_route("*", "/{path:.*}", self._handle)
        runner = web.AppRunner(application, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        await runner.setup()
        await web.SockSite(runner, self._socket).start()
        self._ready.set()
        await self._stopped.wait()
        await runner.cleanup()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = json.loads(await request.read() or b"null")
        self.requests.append(Seen(request.path_qs, dict(request.headers), body))
        self._open += 1
        self.most_at_once = max(self.most_at_once, self._open)
        try:
            said = self._script(body)
            reply = Reply(body=completion(said)) if isinstance(said, str) else said
            await self._hold_back(reply)
            return await _send(request, reply)
        except asyncio.CancelledError:
            self.given_up += 1
            raise
        finally:
            self._open -= 1

    async def _hold_back(self, reply: Reply) -> None:
        await asyncio.sleep(reply.delay)
        while self.most_at_once < reply.together:
            await asyncio.sleep(0.001)
        if reply.ends == "never":
            await self._stopped.wait()


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    """In two halves, so that a body can break off; a server's framework would not let go of one."""
    content = reply.content
    kind = "text/html" if isinstance(reply.body, str) else "application/json"
    response = web.StreamResponse(status=reply.status, headers={"Content-Type": kind} | dict(reply.headers))
    response.content_length = len(content)
    if reply.ends != "closed":
        await response.prepare(request)
        await response.write(content if reply.ends == "whole" else content[: len(content) // 2])
    if reply.ends != "whole" and request.transport is not None:
        request.transport.close()
    return response


def _in_order(replies: Iterable[Reply | str]) -> Callable[[Any], Reply | str]:
    left = list(replies)
    return lambda body: left.pop(0) if len(left) > 1 else left[0]


class Servers:
    """What the fixture ``scripted_server`` is."""

    reply = Reply
    completion = staticmethod(completion)

    def __init__(self) -> None:
        self._started: list[ScriptedServer] = []

    def __call__(self, script: Script) -> ScriptedServer:
        """Start a server."""
        self._started.append(ScriptedServer(script))
        return self._started[-1]

    def stop(self) -> None:
        """Stop all."""
        for server in self._started:
            server.stop()
