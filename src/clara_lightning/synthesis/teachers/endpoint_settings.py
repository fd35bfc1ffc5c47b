"""Where an endpoint is, how it may be used, and what of that must stay secret."""

from __future__ import annotations

import math
import os
import re
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import get_args

from clara_lightning.errors import ClaraError
from clara_lightning.synthesis.teachers.endpoint_form import Structured


@dataclass(frozen=True)
class EndpointSettings:
    """An OpenAI-compatible endpoint. The key is never here, only the name of the environment variable that holds it.

    Attributes:
        url: its base, such as ``http://host:8000/v1``; ``/chat/completions`` is appended.
        model: what the server calls the model.
        key_env: environment variable with the key; where it is not set, none is sent.
        concurrency: requests in flight at most.
        timeout: seconds for one request.
        max_attempts: at one request, before it is given up.
        requests_per_minute: rate limit to keep; ``None``: none.
        tokens_per_minute: rate limit to keep, of prompts and answers together; ``None``: none.
        structured: whether answers are held to a schema: "json_schema" demands it, "auto" does without where the
            server cannot, "none" never asks.

    Raises:
        ClaraError: a value that cannot be.
    """

    url: str
    model: str
    key_env: str = "OPENAI_API_KEY"
    concurrency: int = 64
    timeout: float = 120.0
    max_attempts: int = 6
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    structured: Structured = "auto"

    def __post_init__(self) -> None:
        _check_url(self.url)
        if not self.model.strip():
            raise ClaraError("--model must not be empty")
        if not re.fullmatch(r"[A-Za-z_]\w*", self.key_env):  # it may be the key itself, so it is not repeated
            raise ClaraError("--key-env must be the name of an environment variable, and not the key")
        for name in ("concurrency", "max_attempts", "requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ClaraError(f"--{name.replace('_', '-')} must be >= 1, got {value}")
        if not (math.isfinite(self.timeout) and self.timeout > 0):
            raise ClaraError(f"--timeout must be > 0, got {self.timeout:g}")
        if self.structured not in get_args(Structured):
            raise ClaraError(f"--structured must be {', '.join(get_args(Structured))}, got {self.structured}")

    @property
    def address(self) -> str:
        """Where requests go."""
        parts = urllib.parse.urlsplit(self.url)
        path = f"{parts.path.rstrip('/').removesuffix('/chat/completions')}/chat/completions"
        return urllib.parse.urlunsplit((parts.scheme, parts.netloc, path, parts.query, ""))

    @property
    def host(self) -> str:
        """Name or address of the server."""
        return urllib.parse.urlsplit(self.url).hostname or ""

    @property
    def place(self) -> str:
        """Host and path, which may be shown: some servers take a key in the query."""
        parts = urllib.parse.urlsplit(self.url)
        return f"{parts.netloc.lower()}{parts.path.rstrip('/')}"

    @property
    def shown(self) -> str:
        """The option as messages show it."""
        return f"--url {urllib.parse.urlsplit(self.url).scheme}://{self.place}"

    def read_key(self) -> str:
        """The key; empty where there is none.

        Raises:
            ClaraError: it cannot stand in a header.
        """
        key = os.environ.get(self.key_env, "").strip()
        if not re.fullmatch(r"[!-~]*", key):
            raise ClaraError(f"environment variable {self.key_env}: a key has no spaces and only ASCII characters")
        return key

    def read_proxy(self) -> str | None:
        """The proxy that the environment names for this host, ``None`` where there is none.

        With ``trust_env`` aiohttp would ask for it in a thread before every request, and send what ``~/.netrc`` knows
        of the host.

        Raises:
            ClaraError: a proxy of another kind.
        """
        parts = urllib.parse.urlsplit(self.url)
        proxy = urllib.request.getproxies().get(parts.scheme)
        if not proxy or urllib.request.proxy_bypass(parts.hostname or ""):
            return None
        if not proxy.lower().startswith(("http://", "https://")):
            raise ClaraError(f"environment variable {parts.scheme}_proxy: must begin with http:// or https://")
        return proxy

    def secrets(self, *, key: str, proxy: str | None) -> list[str]:
        """All that no message may repeat, also as it stands in a URL."""
        query = urllib.parse.urlsplit(self.url).query
        values = [value for _, value in urllib.parse.parse_qsl(query) if len(value) >= 8]
        password = urllib.parse.urlsplit(proxy or "").password or ""
        plain = [key, query, password, *values]
        return [*plain, *(urllib.parse.quote(text, safe="") for text in plain)]


def _check_url(url: str) -> None:
    """Before anything of it is shown, whether a key stands in it."""
    if "@" in url.partition("?")[0]:
        raise ClaraError("--url: holds a name or a password; a key belongs into the environment variable of --key-env")
    begin = url.partition("?")[0]
    try:
        parts = urllib.parse.urlsplit(url)
        wrong = parts.scheme not in ("http", "https") or not parts.hostname or parts.port == 0
        parts.netloc.encode("idna")
    except ValueError:  # of a port, a bracket, or a label of the host
        wrong = True
    if wrong or re.search(r"\s", url):
        raise ClaraError(f"--url: must be like http://host:8000/v1, got {begin!r}")
