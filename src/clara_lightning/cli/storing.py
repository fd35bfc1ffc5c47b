"""``clara store info | verify | append | delete | compact | index | bench | export | pull``: of finished stores.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

from clara_lightning.cli.indexing import bench, bench_options, folder_of_store, index, index_options, tell
from clara_lightning.cli.verb import Verb
from clara_lightning.corpus.manifest import CUTTING, Identity, Manifest
from clara_lightning.errors import ClaraError


def _store(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="STORE", help="store made by clara predict: its folder or address")


def _info_options(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _append_options(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument(
        "--documents", required=True, metavar="IN", help="documents to add, as clara predict reads them"
    )
    parser.add_argument("--adapters", required=True, metavar="DIR", help="adapter folder that the store was made with")
    parser.add_argument("--replace", action="store_true", help="documents with an id that is there take its place")
    parser.add_argument("--batch-size", type=int, default=16, metavar="N", help="documents at once (default: 16)")
    parser.epilog = "More settings are those of clara predict, as --model.init_args.backbone.dtype float32."


def _delete_options(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument("--id", action="append", default=[], metavar="ID", help="of a document (may be repeated)")
    parser.add_argument("--ids", metavar="FILE", help="file with one id a line; - is standard input")


def _export_options(parser: argparse.ArgumentParser) -> None:
    _store(parser)
    parser.add_argument("out", metavar="OUT", help=".jsonl: the documents; .parquet: the documents with their memory")


def _pull_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("store", metavar="ADDRESS", help="of a store, as s3://bucket/store")
    parser.add_argument("folder", metavar="FOLDER", help="where the store will be")


def info(args: argparse.Namespace) -> None:
    """Say what a store holds, from its manifest."""
    from clara_lightning.corpus.memory_dtypes import bytes_per_row
    from clara_lightning.corpus.mirror import bytes_at, manifest_at

    manifest = manifest_at(args.store, setting="STORE")
    identity = manifest.identity
    size = bytes_per_row(identity.dtype, identity.memory_tokens, identity.hidden_size)  # type: ignore[arg-type]
    rows: dict[str, Any] = {
        "documents": manifest.rows,
        "deleted, not compacted": manifest.stored_rows - manifest.rows,
        "documents cut": manifest.documents_cut,
        "tokens of a chunk": identity.chunk_tokens,  # 0: documents are not cut into chunks
        "tokens it repeats": identity.chunk_overlap,
        "memory tokens": identity.memory_tokens,
        "hidden size": identity.hidden_size,
        "memory kept as": identity.dtype,
        "bytes of memory a document": size,
        "bytes": bytes_at(args.store, setting="STORE"),
        "shards": len(manifest.shards),
        "search": str(manifest.index or "every document is scored"),
        "backbone": identity.backbone,
        "computed in": identity.compute_dtype,
        "compressor": identity.compressor,
        "generation": manifest.generation,
    }
    if args.json:
        print(json.dumps(rows))
        return
    width = max(map(len, rows))
    print(
        "\n".join(
            f"{name:<{width}}  {'not known' if value is None else f'{value:,}' if isinstance(value, int) else value}"
            for name, value in rows.items()
        )
    )


def verify(args: argparse.Namespace) -> None:
    """Read every file of a store: checksums, numbers of rows, ids. The exit code is 2 where something is wrong."""
    from clara_lightning.corpus.verification import faults

    found = list(faults(args.store, tell=tell))
    for line in found:
        print(line)
    if found:
        raise ClaraError(f"{args.store}: {len(found)} faults")
    print(f"{args.store}: nothing is wrong")


def append(args: argparse.Namespace) -> None:
    """Encode more documents and add them; those that are there are not encoded again."""
    from clara_lightning.corpus.maintenance import STAGING, adopt, require_new, was_adopted

    folder = folder_of_store(args, "append")
    staging = folder / STAGING
    identity = Manifest.read(folder, setting="STORE").identity
    if not was_adopted(folder, staging):  # as after a kill at the very end
        if not args.replace:
            require_new(folder, args.documents)
        _encode(args, staging, identity)
    print(f"{args.store}: {adopt(folder, staging, replace_existing=args.replace):,} documents")


def _encode(args: argparse.Namespace, staging: Path, identity: Identity) -> None:
    from clara_lightning.cli.main import configuration_errors

    known = {name: getattr(identity, name) for name in CUTTING}
    cut = {name: str(value) for name, value in known.items() if value is not None}
    _refuse_cut_otherwise(args, cut)
    words = [
        *("predict", "--model", "clara_lightning.SalientCompressor", "--model.init_from", args.adapters),
        *("--model.memory_tokens", str(identity.memory_tokens)),
        *("--data", "clara_lightning.CorpusDataModule", "--data.documents", args.documents),
        *("--data.batch_size", str(args.batch_size), "--data.rows_per_shard", str(identity.rows_per_shard)),
        *("--encoder.store", str(staging), "--encoder.dtype", identity.dtype),
        *chain.from_iterable((f"--data.{name}", value) for name, value in cut.items() if value != "0"),
        *args.settings,
    ]
    with configuration_errors(words):
        from clara_lightning.cli.trainer import run_trainer

        run_trainer(words)


def _refuse_cut_otherwise(args: argparse.Namespace, cut: Mapping[str, str]) -> None:
    """Refuse a setting by which new documents would be cut otherwise than those that are there."""
    words = " ".join(args.settings).replace("=", " ").split()
    for option, given in pairwise(words):
        name = option.removeprefix("--data.").removeprefix("init_args.")
        if {"null": "0"}.get(given, given) != cut.get(name, given):
            raise ClaraError(f"{option} is {given}, but {args.store} was made with {name} {cut[name]}: leave it out")


def delete(args: argparse.Namespace) -> None:
    """Delete documents by id. Their space is given back by clara store compact."""
    from clara_lightning.corpus.maintenance import delete as delete_documents

    folder = folder_of_store(args, "delete")
    ids = [*args.id, *_lines(args.ids)] if args.ids else args.id
    if not ids:
        raise ClaraError("store delete: --id or --ids is required: the documents to delete")
    print(f"{args.store}: {delete_documents(folder, ids):,} documents left")


def _lines(name: str) -> Iterator[str]:
    from clara_lightning.data.rows import readable

    with readable(name, UnicodeDecodeError):
        text = sys.stdin.read() if name == "-" else Path(name).read_text(encoding="utf-8")
    return (line.strip() for line in text.splitlines() if line.strip())


def compact(args: argparse.Namespace) -> None:
    """Write the documents that are there into new shards, and give the space of deleted ones back."""
    from clara_lightning.corpus.maintenance import compact as compact_store

    manifest = compact_store(folder_of_store(args, "compact"), tell=tell)
    print(f"{args.store}: {manifest.rows:,} documents in {len(manifest.shards):,} shards")


def export(args: argparse.Namespace) -> None:
    """Write the documents of a store as a file, with their memory or without."""
    from clara_lightning.corpus.export import export as export_store

    print(f"{args.out}: {export_store(args.store, args.out):,} documents")


def pull(args: argparse.Namespace) -> None:
    """Copy a store at an address into a folder, where it can be changed. After an interruption it goes on."""
    from clara_lightning.corpus.pull import pull as pull_store

    manifest = pull_store(args.store, args.folder, tell=tell)
    print(f"{args.folder}: {manifest.rows:,} documents in {len(manifest.shards):,} shards")


def _verb(
    name: str, summary: str, options: Callable[[argparse.ArgumentParser], None], call: Callable[..., None]
) -> Verb:
    return Verb(f"store {name}", summary, options, call, passes_on=name == "append")


VERBS_OF_STORE: Iterable[Verb] = (
    _verb("info", "what it holds", _info_options, info),
    _verb("verify", "whether it is what was written", _store, verify),
    _verb("append", "add documents", _append_options, append),
    _verb("delete", "delete documents by id", _delete_options, delete),
    _verb("compact", "give the space of deleted documents back", _store, compact),
    _verb("index", "index its words for --hybrid, or its memory for millions", index_options, index),
    _verb("bench", "measure the search, and set it up for a recall", bench_options, bench),
    _verb("export", "write documents and memory as a file", _export_options, export),
    _verb("pull", "copy a store at an address into a folder", _pull_options, pull),
)


def _no_options(parser: argparse.ArgumentParser) -> None:
    lines = "\n".join(f"  {verb.name.partition(' ')[2]:<9} {verb.summary}" for verb in VERBS_OF_STORE)
    parser.usage = "clara store VERB STORE [options]"
    parser.epilog = f"verbs:\n{lines}"


def store(args: argparse.Namespace) -> None:
    """Look at a store, check it, and change it without encoding it anew."""
    raise ClaraError(f"store: which verb? ({', '.join(verb.name.partition(' ')[2] for verb in VERBS_OF_STORE)})")


VERBS = (
    Verb(
        "store",
        "look at a store, check it, change it",
        _no_options,
        store,
        verbs={verb.name.partition(" ")[2]: verb for verb in VERBS_OF_STORE},
    ),
)
