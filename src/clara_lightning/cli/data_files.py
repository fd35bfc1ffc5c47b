"""``clara data stats | validate | preview | mix | split``: what is done with data files before a run.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from clara_lightning.cli.verb import Verb
from clara_lightning.errors import ClaraError

if TYPE_CHECKING:
    from clara_lightning.data.tools.stats import CountTokens

FILES = "JSONL (also .jsonl.gz), a JSON list, Parquet, a saved datasets folder, or hf://owner/name#split"
DOCUMENT_TOKENS = 256


def _data_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "clara data VERB [options]"
    parser.add_argument("verb", nargs="?", metavar="VERB", help="one of the above")


def _stats_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help=FILES)
    parser.add_argument(
        "--tokenizer", metavar="NAME", help="count tokens too: a folder, a hub id, a .gguf file or package://..."
    )
    parser.add_argument(
        "--document-tokens",
        type=int,
        metavar="N",
        help=f"with --tokenizer: how many documents have more tokens (default: {DOCUMENT_TOKENS})",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")


def _validate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="FILE", help=FILES)
    parser.add_argument(
        "--max-mistakes",
        type=int,
        default=20,
        metavar="N",
        help="list N mistakes of a file, and count the others (default: 20; 0: list all)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")


def _preview_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "clara data preview --config FILE [--config FILE ...] [--key value ...] [options]"
    parser.epilog = "Configuration files and their keys are those of clara fit; see clara fit --help."
    parser.add_argument("--rows", type=int, default=2, metavar="N", help="show N examples (default: 2)")
    parser.add_argument("--epoch", type=int, default=0, metavar="N", help="of this epoch, from 0 (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON object an example: ids, slots, labels")


def _mix_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "parts",
        nargs="+",
        metavar="FILE:WEIGHT",
        help="a file and its share of the rows of OUT, relative to the others: a.jsonl:0.7 b.jsonl:0.3\n"
        "is the same as a.jsonl:7 b.jsonl:3",
    )
    parser.add_argument("--out", required=True, metavar="OUT", help="file to write, a name that ends in .jsonl")
    parser.add_argument(
        "--rows",
        type=int,
        metavar="N",
        help="rows of OUT; a file with too few of them gives some more than once\n"
        "(default: as many as give each file its share, and none twice)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the draw and the order (default: 0)")
    parser.add_argument("--replace", action="store_true", help="write over OUT if it is there")
    parser.add_argument("--json", action="store_true", help="print one JSON object a file")


def _split_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", help=FILES)
    parser.add_argument("--out", required=True, metavar="DIR", help="folder for train.jsonl, val.jsonl and test.jsonl")
    parser.add_argument("--val", type=float, default=0.05, metavar="X", help="share to validate on (default: 0.05)")
    parser.add_argument("--test", type=float, default=0.0, metavar="X", help="share to test on (default: none)")
    parser.add_argument(
        "--by",
        choices=["document", "question", "id"],
        default="document",
        help="what may not stand in two of the files (default: document; of a question, its gold passages)",
    )
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="another one, another split (default: 0)")
    parser.add_argument("--replace", action="store_true", help="write over the files if they are there")
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def data(args: argparse.Namespace) -> None:
    """Look at data files, check, mix and split them, and see what training makes of them.

    clara data stats FILE...            what is in a file: counts, lengths, duplicates
    clara data validate FILE...         every mistake of a file, and what is rarely meant
    clara data preview --config FILE    examples as clara fit feeds them, token by token
    clara data mix FILE:WEIGHT...       one file of several
    clara data split FILE               files to train, validate and test on
    """
    names = ", ".join(VERBS[0].verbs)
    given = f"no such verb: data {args.verb} (there are {names})" if args.verb else f"data: one of {names} is required"
    raise ClaraError(f"{given}; see clara data --help")


def stats(args: argparse.Namespace) -> None:
    """Count what is in data files: rows, documents, questions, lengths, duplicates.

    Rows that cannot be read are counted; clara data validate lists them.
    """
    if args.document_tokens is not None and args.tokenizer is None:
        raise ClaraError("--document-tokens: has no effect without --tokenizer")
    limit = DOCUMENT_TOKENS if args.document_tokens is None else args.document_tokens
    if limit < 1:
        raise ClaraError(f"--document-tokens must be >= 1, got {limit}")
    from clara_lightning.data.tools.stats import file_stats

    count_tokens = _token_counter(args.tokenizer) if args.tokenizer else None
    for path in args.files:
        found = file_stats(path, count_tokens=count_tokens, document_tokens=limit)
        if args.json:
            print(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            from clara_lightning.cli.data_screen import print_stats

            print_stats(found)


def _token_counter(name: str) -> CountTokens:
    from clara_lightning.backbone.loading import BackboneConfig, load_tokenizer
    from clara_lightning.data.prompts import document_ids

    tokenizer = load_tokenizer(BackboneConfig(name=name), setting="--tokenizer")
    return lambda texts: [len(ids) for ids in document_ids(tokenizer, texts)]


def validate(args: argparse.Namespace) -> None:
    """Read every row as training does, and list every mistake: file, line, field, and what is wrong.

    Of a row with several mistakes the first is listed. What is allowed but rarely meant is counted. The exit code is
    2 where there is a mistake.
    """
    if args.max_mistakes < 0:
        raise ClaraError(f"--max-mistakes must be >= 0, got {args.max_mistakes}")
    from clara_lightning.data.tools.validate import validate_file

    counts: dict[str, int] = {}
    for path in args.files:
        found = validate_file(path, most=args.max_mistakes)
        counts[path] = found.mistakes
        if args.json:
            print(json.dumps(found.to_json(), ensure_ascii=False))
        else:
            from clara_lightning.cli.data_screen import print_validation

            print_validation(found)
    if bad := [path for path, count in counts.items() if count]:
        raise ClaraError(f"data validate: bad rows: {sum(counts.values()):,}, in {', '.join(bad)}")


def preview(args: argparse.Namespace) -> None:
    """Show examples as clara fit feeds them: what is read, cut, put in memory's place, and trained on. No weights."""
    if not args.settings:
        raise ClaraError("data preview: --config is required: a file as clara fit takes it (see clara data --help)")
    from clara_lightning.cli.main import configuration_errors

    with configuration_errors(args.settings):
        from clara_lightning.cli.parts import stage_and_data

        module, examples = stage_and_data(args.settings)
    from clara_lightning.backbone.loading import load_tokenizer
    from clara_lightning.modules.preview import preview as preview_examples

    tokenizer = load_tokenizer(module.backbone_config)
    found = preview_examples(module, examples, tokenizer, rows=args.rows, epoch=args.epoch)
    if args.json:
        for example in found.examples:
            print(json.dumps(example.to_json()))
    else:
        from clara_lightning.cli.preview import print_preview

        print_preview(found)


def mix(args: argparse.Namespace) -> None:
    """Write one file of several, each with its share of the rows, shuffled.

    Lines of JSONL are carried over byte for byte. All files must hold rows of one kind.
    """
    from clara_lightning.data.tools.mix import mix as mix_files
    from clara_lightning.data.tools.mix import parse_part

    parts = [parse_part(part) for part in args.parts]
    taken = mix_files(parts, args.out, rows=args.rows, seed=args.seed, replace=args.replace)
    if args.json:
        print("\n".join(json.dumps(each.to_json(), ensure_ascii=False) for each in taken))
        return
    total = sum(each.taken for each in taken)
    print(f"{args.out}: {total:,} rows")
    for each in taken:
        again = f", {each.repeated:,} of them again" if each.repeated else ""
        print(f"  {each.taken:,} rows ({each.taken / total:.1%}) of the {each.rows:,} of {each.file}{again}")


def split(args: argparse.Namespace) -> None:
    """Write files to train, validate and test on, of which no two hold the same document.

    The side of a row depends on its document alone, by a hash, so shares are met roughly; rows that are added later
    leave the others where they were. Questions that share a gold passage stay together.
    """
    from clara_lightning.data.tools.split import split as split_file

    found = split_file(
        args.file, args.out, val=args.val, test=args.test, by=args.by, seed=args.seed, replace=args.replace
    )
    if args.json:
        print(json.dumps(found.to_json()))
        return
    total = sum(found.rows.values())
    for side, rows in found.rows.items():
        print(f"{args.out}/{side}.jsonl: {rows:,} rows ({rows / total:.1%}) in {found.groups[side]:,} groups")
    print(f"The largest group of rows that stay together has {found.largest:,}.")
    if found.without:
        print(f"{found.without:,} rows have no {args.by} to go by: their question was taken, or else their document.")


VERBS = (
    Verb(
        "data",
        "count, check, preview, mix and split data files",
        _data_options,
        data,
        verbs={
            "stats": Verb("data stats", "what is in a file", _stats_options, stats),
            "validate": Verb("data validate", "every mistake of a file", _validate_options, validate),
            "preview": Verb("data preview", "examples as they are fed", _preview_options, preview, passes_on=True),
            "mix": Verb("data mix", "one file of several", _mix_options, mix),
            "split": Verb("data split", "train, val and test", _split_options, split),
        },
    ),
)
