"""The card of an exported folder: that of the adapters, as it stands, with what the export changed."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from clara_lightning.backbone.folder import AdapterFolder
from clara_lightning.errors import ClaraError
from clara_lightning.publishing.base_model import BaseModel
from clara_lightning.publishing.card import FENCE, FILE, REWRITTEN, front_matter, model_card, render

TEMPLATE = "exported.md"
_BASE_KEYS = ("base_model", "base_model_relation")


def exported_card(folder: AdapterFolder, new: AdapterFolder, *, before: BaseModel, base: BaseModel, dtypes: str) -> str:
    """The card for ``new``.

    Args:
        folder: the adapters that are exported. Their card is taken, also one that was written by hand; where there is
            none, one is made of what the header says.
        new: the header of the exported folder.
        before: the backbone that ``folder`` names.
        base: the one that ``new`` names.
        dtypes: of the exported weights, in words.

    Raises:
        ClaraError: the card names a place on this machine, or its front matter is no YAML.
    """
    path = folder.path / FILE
    card = _read(path) if path.is_file() else model_card(new)
    _refuse_places(card, path, folder)
    head, body = _parts(card, path)
    body = body.rstrip().removesuffix(REWRITTEN).rstrip() + "\n"
    told = render(
        TEMPLATE,
        base=base,
        before=before,
        dtypes=dtypes,
        fingerprint=new.fingerprint,
        fingerprint_before=folder.fingerprint,
    )
    head = _with_base(head if head is not None else front_matter(base, None), base)
    return f"{FENCE}\n{head}\n{FENCE}\n{body}{told}"


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise ClaraError(f"{path}: not UTF-8: {error}") from error


def _parts(card: str, path: Path) -> tuple[str | None, str]:
    """Front matter, which must be a mapping, and what follows it; None where a card has none."""
    lines = card.splitlines()
    if not lines or lines[0].rstrip() != FENCE:
        return None, "\n" + card
    ends = [number for number, line in enumerate(lines) if number and line.rstrip() == FENCE]
    if not ends:
        raise ClaraError(f"{path}:1: front matter: it has no end, a line {FENCE}")
    head = "\n".join(lines[1 : ends[0]])
    try:
        values = yaml.safe_load(head) or {}
    except yaml.YAMLError as error:
        raise ClaraError(f"{path}: front matter: no valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise ClaraError(f"{path}: front matter: expected keys with values, got {type(values).__name__}")
    return head, "\n".join(lines[ends[0] + 1 :])


def _with_base(head: str, base: BaseModel) -> str:
    """Front matter with this base model; every other line stays what it is, comments too."""
    if base.hub_id is None:
        return head
    kept, drops = [], False
    for line in head.splitlines():
        drops = drops and (not line.strip() or line.startswith((" ", "-")))  # what belongs to the key above it
        drops = drops or re.match(rf"(# )?({'|'.join(_BASE_KEYS)}):", line) is not None
        if not drops:
            kept.append(line)
    return "\n".join([f"base_model: {base.hub_id}", "base_model_relation: adapter", *kept])


def _refuse_places(card: str, path: Path, folder: AdapterFolder) -> None:
    """A card that was edited may name the backbone's folder, the adapters' or the user's own."""
    name = str(folder.backbone["name"] or "")
    places = {str(Path(name).expanduser()), name} if name.startswith(("/", "~", ".")) else set()
    places |= {str(folder.path.resolve()), str(Path.home())} - {"/"}
    for number, line in enumerate(card.splitlines(), start=1):
        if found := [place for place in places if re.search(rf"(?<![\w./-]){re.escape(place)}(?![\w.-])", line)]:
            raise ClaraError(f"{path}:{number}: names {max(found, key=len)}, a place on this machine")
