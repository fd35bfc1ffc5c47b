"""An endpoint that costs as little as it can: ``python -m benchmarks.null_server`` prints its port, then serves.

It reads no more of a request than its length, and answers every one with the same completion after a fixed time, so
that what a client takes is the client's own.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re

_LENGTH = re.compile(rb"content-length:\s*(\d+)", re.IGNORECASE)


def fixed_answer(*, characters: int) -> bytes:
    """A completion of so many characters, with head and body."""
    text = json.dumps({"questions": ["x" * characters]})
    choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 800, "completion_tokens": 250, "total_tokens": 1050}
    row = {"id": "c", "object": "chat.completion", "created": 0, "model": "null", "choices": [choice], "usage": usage}
    body = json.dumps(row).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body


class NullProtocol(asyncio.Protocol):
    """One connection.

    Args:
        answer: all that it ever says.
        seconds: how long it takes to.
    """

    def __init__(self, answer: bytes, seconds: float) -> None:
        self.answer = answer
        self.seconds = seconds
        self.received = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep what answers are written to."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        """Answer every request that is complete."""
        self.received += data
        while (head := self.received.find(b"\r\n\r\n")) >= 0:
            found = _LENGTH.search(self.received, 0, head)
            end = head + 4 + (int(found[1]) if found else 0)
            if len(self.received) < end:
                return
            del self.received[:end]
            asyncio.get_running_loop().call_later(self.seconds, self.transport.write, self.answer)


async def serve(*, characters: int, seconds: float) -> None:
    """Serve until killed."""
    answer = fixed_answer(characters=characters)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: NullProtocol(answer, seconds), "127.0.0.1", 0, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def main() -> None:
    """Read the command line, and serve."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--characters", type=int, default=1000, help="of an answer")
    parser.add_argument("--seconds", type=float, default=0.1, help="until an answer")
    options = parser.parse_args()
    asyncio.run(serve(characters=options.characters, seconds=options.seconds))


if __name__ == "__main__":
    main()
