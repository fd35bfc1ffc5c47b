"""Text from outside in a model card: no Markdown, no HTML and no second line of it works."""

from __future__ import annotations

import re
from unicodedata import category

# What starts an element inside a line, and what starts a block where the text begins one. A bracket alone is no link.
_INSIDE = re.compile(r"([\\`*_#|~$]|\](?=[(\[:]))")
_AT_START = re.compile(r"^(\d*)([-+.)=])(?=[-=\s]|$)")


def inline(text: str) -> str:
    r"""Text on one line, also in a cell of a table.

    Example:
        >>> inline("a|b\n<script>*c*")
        'a\\|b &lt;script&gt;\\*c\\*'
    """
    line = one_line(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _AT_START.sub(r"\1\\\2", _INSIDE.sub(r"\\\1", line))


def one_line(text: str) -> str:
    r"""Text without breaks and control characters; what is left may still be Markdown.

    Example:
        >>> one_line("a\n\tb\x07")
        'a b\ufffd'
    """
    return "".join("\N{REPLACEMENT CHARACTER}" if category(char) == "Cc" else char for char in " ".join(text.split()))
