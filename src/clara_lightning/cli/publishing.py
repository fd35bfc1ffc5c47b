"""``clara export``: adapters for others.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse

from clara_lightning.cli.verb import Verb

AS_THEY_ARE = "as they are"


def _export_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--to", required=True, choices=["hub-folder"], help="a folder to push to the Hugging Face Hub")
    parser.add_argument("--adapters", required=True, metavar="DIR", help="adapter folder, or a run folder with one")
    parser.add_argument("--out", required=True, metavar="FOLDER", help="the new folder; nothing may be in it")
    parser.add_argument(
        "--base-model",
        metavar="OWNER/NAME",
        help="hub id of a backbone of the same shapes, in the place of the one that the adapters name;\n"
        "required where that is a folder or a file of this machine",
    )
    parser.add_argument(
        "--dtype",
        default=AS_THEY_ARE,
        choices=["bfloat16", "float32"],
        help="of the adapters' weights (default: as they are); rounded to bfloat16 the compressor has another\n"
        "fingerprint, and its stores are made anew",
    )


def export(args: argparse.Namespace) -> None:
    """Write an adapter folder that can be pushed to the Hub: PEFT's folders, memory tokens, header and model card."""
    from clara_lightning.publishing.hub_folder import export_hub_folder

    done = export_hub_folder(args.adapters, args.out, base=args.base_model, dtype=args.dtype)
    adapters, fingerprint = ", ".join(done.folder.adapters), done.folder.fingerprint
    print(f"{args.out}: {adapters} for {done.base.shown}, fingerprint {fingerprint[:16]}")
    if fingerprint != done.before:
        print(f"the compressor was rounded: a store made with {done.before[:16]} does not belong to it")
    if done.base.hub_id is None:
        print("its backbone is not on the Hub; --base-model OWNER/NAME names one that is")


VERBS = (Verb("export", "adapters as a folder for the Hugging Face Hub", _export_options, export),)
