"""What a backbone is called where this machine is not known."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from clara_lightning.backbone.loading import PACKAGE_SCHEME
from clara_lightning.errors import ClaraError

_HUB_ID = re.compile(r"(?=.{1,96}$)[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?", re.ASCII)


@dataclass(frozen=True)
class BaseModel:
    """A backbone by a name that says nothing of this machine.

    Attributes:
        kind: on the ``hub``, in an installed ``package``, or ``local``: a folder or file of this machine.
        shown: the hub id, the address in the package, or the last part of the path.
        revision: on the hub.
    """

    kind: Literal["hub", "package", "local"]
    shown: str
    revision: str | None = None

    @property
    def hub_id(self) -> str | None:
        """The hub id, where there is one."""
        return self.shown if self.kind == "hub" else None

    @property
    def package(self) -> str:
        """What ``pip install`` calls the package."""
        return self.shown.removeprefix(PACKAGE_SCHEME).partition("/")[0].replace("_", "-")


def base_model(name: str | None, revision: str | None = None) -> BaseModel:
    """The backbone that a configuration or an adapter folder names.

    Args:
        name: hub id, address in a package, folder, or file; None is one that has no name.
        revision: on the hub.
    """
    text = name or ""
    if text.startswith(PACKAGE_SCHEME):
        return BaseModel("package", text)
    # transformers takes a folder of that name before it asks the hub
    if _is_hub_id(text) and not text.endswith(".gguf") and not Path(text).is_dir():
        return BaseModel("hub", text, revision)
    return BaseModel("local", re.split(r"[/\\]", text.rstrip("/\\"))[-1] or "without a name")


def hub_id(text: str, *, setting: str = "--base-model") -> str:
    """The text, if it has the form of a hub id with its owner.

    Raises:
        ClaraError: it does not.
    """
    if text.count("/") != 1 or not _is_hub_id(text):
        raise ClaraError(f"{setting}: expected a hub id of the form owner/name, got {text!r}")
    return text


def _is_hub_id(text: str) -> bool:
    """By the Hub's own rules for names."""
    parts = text.split("/")
    return _HUB_ID.fullmatch(text) is not None and not any(
        "--" in part or ".." in part or part.endswith(("-", ".", ".git")) for part in parts
    )
