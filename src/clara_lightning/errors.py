"""The one exception that a user's mistake raises."""

from __future__ import annotations


class ClaraError(ValueError):
    """A mistake in the user's input: a setting, a file, a line of a file.

    The message is one line that names the setting (``model.init_args.top_k``) or the file, the line and the field, and
    says what would be right. The command line prints it and exits with code 2; a traceback is a bug of ours.
    """
