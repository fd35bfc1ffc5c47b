"""A language model behind an OpenAI-compatible endpoint: a hosted one, or a server of one's own."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.chat import Chat, ChatModel, Completion, Sampling
from clara_lightning.synthesis.teacher import BadReplyError, UnavailableError, Usage
from clara_lightning.synthesis.teachers.endpoint_answer import (
    TryAgainError,
    Wording,
    estimated_tokens,
    read_complaint,
    read_completion,
    read_retry_after,
)
from clara_lightning.synthesis.teachers.endpoint_form import RequestForm, refused_parameter
from clara_lightning.synthesis.teachers.endpoint_settings import EndpointSettings
from clara_lightning.synthesis.teachers.pace_of_requests import Clock, Pace

__all__ = ["EndpointModel", "EndpointSettings"]

log = logging.getLogger(__name__)

AGAIN = (408, 409, 425, 429)  # and all above 500, which proxies have many of
REFUSED = (400, 413, 422)
LONGEST_CONNECT = 30.0  # seconds


@dataclass(frozen=True)
class _Http:
    """An answer as HTTP has it."""

    status: int
    headers: Mapping[str, str]
    raw: bytes


class _ParameterRefusedError(Exception):
    """The request is to be sent again without one of its parameters."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(why)
        self.name = name


@dataclass(frozen=True)
class _Connection:
    """What is open while requests are made."""

    session: aiohttp.ClientSession
    slots: asyncio.Semaphore
    proxy: str | None
    has_key: bool
    wording: Wording


class EndpointModel(ChatModel):
    """Asks the model behind an endpoint, and asks again where that may help.

    Args:
        settings: where it is, and how it may be used.
        sampling: how it shall write.
        clock: another than the event loop's, for tests.
    """

    def __init__(self, settings: EndpointSettings, *, sampling: Sampling, clock: Clock | None = None) -> None:
        self._settings = settings
        self._sampling = sampling
        self._form = RequestForm(model=settings.model, sampling=sampling, structured=settings.structured)
        self._pace = Pace(
            requests_per_minute=settings.requests_per_minute,
            tokens_per_minute=settings.tokens_per_minute,
            seed=sampling.seed,
            clock=clock,
        )
        self._connection: _Connection | None = None
        self._answered = False

    @property
    def name(self) -> str:
        """The model's name."""
        return self._settings.model

    @property
    def identity(self) -> Mapping[str, Any]:
        """See :class:`ChatModel`; of the URL only the host, since a server may come back on another port."""
        return {
            "model": self._settings.model,
            "host": self._settings.host,
            "sampling": asdict(self._sampling),
            "structured": self._settings.structured,
        }

    async def complete(self, chat: Chat) -> Completion:
        """See :class:`ChatModel`; ``usage.requests`` counts every attempt that the server may have seen."""
        connection = self._connection = self._connection or self._connect()
        sent = failures = 0
        async with connection.slots:  # kept while backing off: a server in trouble gets fewer requests
            while True:
                try:
                    done = await self._attempt(connection, chat)
                    return replace(done, usage=done.usage + Usage(sent + 1))
                except _ParameterRefusedError as error:
                    sent += 1
                    self._form.leave_out(error.name, why=str(error))
                except BadReplyError as error:
                    raise BadReplyError(str(error), error.usage + Usage(sent + 1)) from None
                except TryAgainError as error:
                    sent, failures = sent + error.sent, failures + 1
                    if failures == self._settings.max_attempts:
                        raise self._given_up(error, sent=sent) from None
                    await self._wait(error, failures)

    async def close(self) -> None:
        """Close connections; a later request opens new ones."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.session.close()

    def _connect(self) -> _Connection:
        settings = self._settings
        key, proxy = settings.read_key(), settings.read_proxy()
        session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=settings.concurrency),
            headers={"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {}),
            cookie_jar=aiohttp.DummyCookieJar(),
            # Less than the whole, so that a host that takes no connection is not taken for a slow model.
            timeout=aiohttp.ClientTimeout(
                total=settings.timeout, sock_connect=min(settings.timeout / 2, LONGEST_CONNECT)
            ),
        )
        wording = Wording(settings.secrets(key=key, proxy=proxy))
        return _Connection(session, asyncio.Semaphore(settings.concurrency), proxy, bool(key), wording)

    async def _attempt(self, connection: _Connection, chat: Chat) -> Completion:
        """One request.

        Raises:
            _ParameterRefusedError: send it again without a parameter.
            TryAgainError: send it again later.
            BadReplyError: do not.
            ClaraError: send nothing more.
        """
        characters = sum(len(message["content"]) for message in chat.messages)
        estimated = estimated_tokens(characters) + self._sampling.max_tokens
        await self._pace.turn(tokens=estimated)
        body = self._form.body(chat)
        answer = await self._post(connection, json.dumps(body).encode())
        if not 200 <= answer.status < 300:
            raise self._failure(connection, answer, body)
        completion = read_completion(answer.raw, prompt_characters=characters, wording=connection.wording)
        used = completion.usage.prompt_tokens + completion.usage.completion_tokens
        self._pace.correct(estimated=estimated, used=used)
        return completion

    async def _post(self, connection: _Connection, body: bytes) -> _Http:
        # Errors of aiohttp hold the request's headers, so they are not chained to ours.
        wording = connection.wording
        try:
            async with connection.session.post(
                self._settings.address, data=body, allow_redirects=False, proxy=connection.proxy
            ) as response:
                self._answered = True
                return _Http(response.status, response.headers, await response.read())
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.ClientHttpProxyError) as error:
            raise TryAgainError(wording(f"cannot be reached: {_why(error)}"), sent=False) from None
        except aiohttp.InvalidURL:
            raise ClaraError(f"{self._settings.shown}: is not a URL") from None
        except TimeoutError:
            raise TryAgainError(f"no answer within {self._settings.timeout:g} s") from None
        except (aiohttp.ClientError, OSError) as error:
            raise TryAgainError(wording(_why(error))) from None

    def _failure(self, connection: _Connection, answer: _Http, body: Mapping[str, Any]) -> Exception:
        """What an answer with another status than 200 means."""
        status, complaint = answer.status, read_complaint(answer.raw)
        told = f"HTTP {status}: {connection.wording(complaint.message)}".removesuffix(": ")
        if status in REFUSED:
            return self._refusal(told, refused_parameter(complaint, sent=body))
        if status == 429 and b"insufficient_quota" in answer.raw:
            return self._mistake("the quota is used up", told)
        if status in AGAIN or status >= 500:
            retry_after = read_retry_after(answer.headers.get("Retry-After"), now=datetime.now(UTC))
            return TryAgainError(told, retry_after=retry_after, for_all=status == 429)
        if status in (401, 403):
            held = "is refused" if connection.has_key else "is not set"
            return self._mistake(f"the key in the environment variable {self._settings.key_env} {held}", told)
        if status == 404:
            return self._mistake(f"no such address, or no model {self._settings.model!r}", told)
        if 300 <= status < 400:
            target = connection.wording(answer.headers.get("Location", "").partition("?")[0])
            return self._mistake(f"redirects to {target}, where the key does not go: name the right address", told)
        return self._mistake("refuses requests", told)

    def _refusal(self, told: str, parameter: str | None) -> Exception:
        if parameter is None:
            return BadReplyError(told)
        if parameter == "response_format" and self._settings.structured == "json_schema":
            return ClaraError(f"--structured json_schema: the server cannot, auto does without ({told})")
        return _ParameterRefusedError(parameter, told)

    def _mistake(self, why: str, told: str) -> ClaraError:
        return ClaraError(f"{self._settings.shown}: {why} ({told})")

    def _given_up(self, error: TryAgainError, *, sent: int) -> Exception:
        if not sent and not self._answered:
            return ClaraError(f"{self._settings.shown}: {error}")
        return UnavailableError(f"no answer in {self._settings.max_attempts} attempts, at last: {error}")

    async def _wait(self, error: TryAgainError, failures: int) -> None:
        if error.for_all and error.retry_after and self._pace.hold(error.retry_after):
            log.info("%s: all requests wait %.1f s (%s)", self._settings.shown, error.retry_after, error)
        await self._pace.back_off(failures, at_least=error.retry_after)


def _why(error: Exception) -> str:
    """An error of the connection in words, those of the system where it has some."""
    if isinstance(error, aiohttp.ClientPayloadError):
        return "the answer broke off"
    if isinstance(error, aiohttp.ServerDisconnectedError):
        return "the connection was closed without an answer"
    if isinstance(error, aiohttp.ClientConnectorError):
        cause = getattr(error, "certificate_error", None) or error.os_error
        return getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return str(error) or type(error).__name__
