"""A verb of the command line that does not train, and the options that several of them share."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from inspect import cleandoc
from typing import NoReturn

from clara_lightning.errors import ClaraError


class _Parser(argparse.ArgumentParser):
    """argparse, whose mistakes are one line as everywhere."""

    def error(self, message: str) -> NoReturn:
        raise ClaraError(f"{self.prog.removeprefix('clara ')}: {message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        name: the words that call it.
        summary: one line for the list of verbs.
        options: adds the options to a parser.
        call: runs it.
        passes_on: options that it does not know are left to the parser of ``clara fit``, in ``args.settings``.
        verbs: its own verbs, by the word that calls them.
    """

    name: str
    summary: str
    options: Callable[[argparse.ArgumentParser], None]
    call: Callable[[argparse.Namespace], None]
    passes_on: bool = False
    verbs: Mapping[str, Verb] = field(default_factory=dict)

    def run(self, args: Sequence[str]) -> int:
        """Parse and call; a verb of its own may follow."""
        if args and args[0] in self.verbs:
            return self.verbs[args[0]].run(args[1:])
        parser = _Parser(
            prog=f"clara {self.name}",
            description=cleandoc(self.call.__doc__ or ""),
            formatter_class=argparse.RawTextHelpFormatter,
            allow_abbrev=not self.passes_on,
        )
        self.options(parser)
        parsed, settings = (
            parser.parse_known_args(list(args)) if self.passes_on else (parser.parse_args(list(args)), [])
        )
        parsed.settings = settings
        self.call(parsed)
        return 0


def model_options(parser: argparse.ArgumentParser) -> None:
    """Which weights, in which dtype, on which device."""
    parser.add_argument("--backbone", metavar="NAME", help="pretrained weights, if not those the adapters name")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first there is)")


def backbone_of(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # its class is heavy to import
    """The backbone that these options name."""
    from clara_lightning.backbone.loading import BackboneConfig

    return BackboneConfig(name=args.backbone, dtype=args.dtype)
