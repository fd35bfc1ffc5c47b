"""The command ``clara``: one function a verb; what a verb needs is imported when it is called."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

from clara_lightning.errors import ClaraError

TRAINER_VERBS = {
    "fit": "train a stage from a configuration",
    "validate": "measure a stage on its validation data",
    "test": "measure a stage on its test data",
    "predict": "encode documents into a store",
}


def usage() -> str:
    """The text of ``clara --help``."""
    from clara_lightning.cli.verbs import VERBS

    texts = TRAINER_VERBS | {name: verb.summary for name, verb in VERBS.items()}
    lines = [f"  {name:<10} {text}" for name, text in texts.items()]
    return "\n".join(
        [
            "usage: clara VERB [options]",
            "",
            "Retrieval-augmented generation over compressed documents.",
            "",
            *lines,
            "",
            "clara VERB --help shows the options of a verb; clara --version the version.",
        ]
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run a verb.

    Returns:
        0, or 2 after a mistake of the user's, which is one line on stderr, or 130 after Ctrl-C.
    """
    args = list(sys.argv[1:] if argv is None else argv)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    _speak()
    try:
        return _run(args)
    except ClaraError as error:
        print(f"clara: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("clara: interrupted; run the same command again to go on", file=sys.stderr)
        return 130


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if args[0] == "--version":
        print(version("clara-lightning"))
        return 0
    verb = args[0]
    if verb in TRAINER_VERBS:
        return _train(args)
    from clara_lightning.cli.verbs import VERBS

    if verb not in VERBS:
        raise ClaraError(f"no such verb: {verb} (there are {', '.join([*TRAINER_VERBS, *VERBS])})")
    return VERBS[verb].run(args[1:])


def _speak() -> None:
    """Show what our own code logs, as plain lines on stderr."""
    ours = logging.getLogger("clara_lightning")
    handler = logging.StreamHandler()  # a new one each time: it holds on to the stderr of its making
    handler.setFormatter(logging.Formatter("%(message)s"))
    ours.handlers[:] = [handler]
    ours.setLevel(logging.INFO)
    ours.propagate = False


def _train(args: list[str]) -> int:
    with configuration_errors(args):
        from clara_lightning.cli.trainer import run_trainer

        run_trainer(args)
    return 0


@contextmanager
def configuration_errors(args: Sequence[str]) -> Iterator[None]:
    """Scope in which a mistake in a configuration becomes one line.

    Raises:
        ClaraError: in the place of what the parser and Lightning raise.
    """
    from jsonargparse import ArgumentError
    from lightning.fabric.utilities.exceptions import MisconfigurationException

    from clara_lightning.cli.trainer import known_settings
    from clara_lightning.cli.wording import setting_error

    _check_yaml(args)
    try:
        yield
    except (ArgumentError, MisconfigurationException, ValueError) as error:
        mistake = _mistake_in(error)
        if mistake is None and not isinstance(error, ArgumentError | MisconfigurationException):
            raise
        raise mistake or ClaraError(setting_error(str(error), known_settings())) from error


def _check_yaml(args: Sequence[str]) -> None:
    """Name the file and the line of a YAML mistake, which the parser of the settings does not."""
    import yaml

    given = [value for option, value in pairwise(args) if option == "--config"]
    given += [arg.removeprefix("--config=") for arg in args if arg.startswith("--config=")]
    for path in map(Path, given):
        try:
            if path.is_file():
                yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.MarkedYAMLError as error:
            line = error.problem_mark.line + 1 if error.problem_mark else 1
            raise ClaraError(f"{path}:{line}: no valid YAML: {error.problem}") from error
        except (yaml.YAMLError, UnicodeDecodeError) as error:
            raise ClaraError(f"{path}: no valid YAML: {error}") from error


def _mistake_in(error: BaseException | None) -> ClaraError | None:
    """Our own error, where jsonargparse has wrapped what a constructor raised."""
    while error is not None and not isinstance(error, ClaraError):
        error = error.__cause__ or error.__context__
    return error
