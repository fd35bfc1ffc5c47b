"""The verbs that do not train: their options, and the functions behind them.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from inspect import cleandoc
from typing import TYPE_CHECKING, NoReturn

from clara_lightning.errors import ClaraError

if TYPE_CHECKING:
    from clara_lightning.inference.pipeline import ClaraPipeline


class _Parser(argparse.ArgumentParser):
    """argparse, whose mistakes are one line as everywhere."""

    def error(self, message: str) -> NoReturn:
        raise ClaraError(f"{self.prog.removeprefix('clara ')}: {message} (see {self.prog} --help)")


@dataclass(frozen=True)
class Verb:
    """A verb of the command line.

    Attributes:
        summary: one line for the list of verbs.
        options: adds the options to a parser.
        call: runs it.
        passes_on: options that it does not know are left to the parser of ``clara fit``, in ``args.settings``.
        verbs: its own verbs, by the word that calls them.
    """

    summary: str
    options: Callable[[argparse.ArgumentParser], None]
    call: Callable[[argparse.Namespace], None]
    name: str
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


def _store_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("question", help="what to ask; '-' reads one question a line from standard input")
    parser.add_argument("--store", required=True, metavar="DIR", help="store made by clara predict")
    parser.add_argument("--adapters", required=True, metavar="DIR", help="adapter folder made by clara fit")
    parser.add_argument("--top-k", type=int, metavar="K", help="documents per question (default: as trained)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a question")
    _model_options(parser)


def _model_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--backbone", metavar="NAME", help="pretrained weights, if not those the adapters name")
    parser.add_argument("--dtype", default="auto", choices=["auto", "float32", "bfloat16", "float16"])
    parser.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first there is)")


def _ask_options(parser: argparse.ArgumentParser) -> None:
    _store_options(parser)
    parser.add_argument(
        "--explain",
        action="store_true",
        help="also show the documents that were taken with scores and soft weights, the words in the question's\n"
        "vectors, and the answer's log-probability without, with another's, with this memory and with the text",
    )
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="length of an answer at most")


def _evaluate_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapters", required=True, metavar="DIR", help="adapter folder made by clara fit")
    parser.add_argument("--data", required=True, metavar="FILE", help="questions with answers and gold documents")
    parser.add_argument("--store", metavar="DIR", help="store that gold_ids point into; else each question's passages")
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the report")
    parser.add_argument(
        "--conditions",
        metavar="NAMES",
        help="comma-separated, beside the four that are always measured (default: all that the data allow):\n"
        "none, another, gold_memory, gold_text; retrieved_memory, oracle_memory, retrieved_text, NAME_memory;\n"
        "backbone_none, backbone_gold_text, backbone_gold_tokens, backbone_retrieved_text, backbone_NAME_text,\n"
        "where NAME is bm25, dense or a --reasoner",
    )
    parser.add_argument(
        "--candidates",
        type=int,
        metavar="N",
        help="candidates of a question: its passages, filled up to N by BM25 (default: 20 with --store, else as given)",
    )
    parser.add_argument(
        "--reasoner",
        action="append",
        default=[],
        metavar="NAME=DIR",
        help="another query reasoner over the same memory, as a retriever of the same tables; may be repeated",
    )
    parser.add_argument(
        "--dense",
        metavar="NAME",
        help="dense retriever of sentence-transformers (default: all-MiniLM-L6-v2; none: off)",
    )
    parser.add_argument("--paraphrases", metavar="FILE", help="SCP data: say its documents in other words, for ROUGE-L")
    parser.add_argument("--top-k", type=int, metavar="K", help="documents per question (default: as trained)")
    parser.add_argument("--limit", type=int, metavar="N", help="N questions, drawn by --seed")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of all that is drawn (default: 0)")
    parser.add_argument("--batch-size", type=int, default=8, metavar="N")
    parser.add_argument("--max-new-tokens", type=int, default=32, metavar="N", help="length of an answer at most")
    parser.add_argument("--skip-bad-rows", type=int, default=0, metavar="N", help="allow N unreadable rows")
    parser.add_argument("--json", action="store_true", help="print the results as JSON")
    _model_options(parser)


def _compare_options(parser: argparse.ArgumentParser) -> None:
    what = "REPORT, or REPORT:SYSTEM for one condition (gold_memory) or ranking (corpus/bm25) of it"
    parser.add_argument("first", metavar="A", help=what)
    parser.add_argument("second", metavar="B", help="likewise; differences are B - A")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of the bootstrap (default: 0)")
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def _spread_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("reports", nargs="+", metavar="REPORT", help="report folders, of several seeds for example")
    parser.add_argument("--json", action="store_true", help="print one JSON list")


def _demo_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--out", default="demo-run", metavar="DIR", help="run folder (default: demo-run)")
    parser.add_argument("--fast", action="store_true", help="a few steps of everything, to see that it runs")


def _doctor_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print one JSON object")


def _estimate_options(parser: argparse.ArgumentParser) -> None:
    parser.usage = "clara estimate --config FILE [--config FILE ...] [--key value ...] [options]"
    parser.epilog = "Configuration files and their keys are those of clara fit; see clara fit --help."
    parser.add_argument(
        "--device",
        metavar="SPEC",
        help="NAME[:MEMORYgb][:COUNT], as h100:80gb:8; cpu, or one of h200, h100, a100, l40s, a10g, rtx4090, t4\n"
        "(default: what is here, and trainer.devices of it)",
    )
    parser.add_argument("--mfu", type=float, metavar="X", help="share of the peak reached (default: 0.35, CPU 0.7)")
    parser.add_argument(
        "--documents", type=int, metavar="N", help="of the store (default: those of data, or a million)"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object, sizes in bytes")
    without = parser.add_argument_group("where the training file is not here")
    without.add_argument("--rows", type=int, metavar="N", help="its rows; without them time is for 1,000 steps")
    without.add_argument("--question-tokens", type=int, default=24, metavar="N", help="of a question (default: 24)")
    without.add_argument("--answer-tokens", type=int, default=64, metavar="N", help="of a target (default: 64)")
    without.add_argument("--template-tokens", type=int, default=64, metavar="N", help="around them (default: 64)")


def _convert_options(parser: argparse.ArgumentParser) -> None:
    from clara_lightning.data.convert.registry import FORMATS

    width = max(map(len, FORMATS))
    names = "\n".join(f"{name:<{width}}  {known.summary}" for name, known in FORMATS.items())
    parser.add_argument("--from", required=True, dest="name", metavar="NAME", help=f"the format of IN, one of\n{names}")
    parser.add_argument(
        "source", metavar="IN", help="file or folder to read; nothing is downloaded unless it is hf://..."
    )
    parser.add_argument("out", metavar="OUT", help="file to write, a name that ends in .jsonl; for beir a folder")
    parser.add_argument("--split", metavar="NAME", help="of beir: judgements of qrels/NAME.tsv (default: test)")
    parser.add_argument("--max-words", type=int, metavar="N", help="of text: words of a passage at most (default: 120)")
    parser.add_argument("--skip-bad-rows", type=int, default=0, metavar="N", help="allow N bad rows in a file")
    parser.add_argument("--replace", action="store_true", help="write over OUT if it is there")
    parser.add_argument("--json", action="store_true", help="print the counts as one JSON object")


def _inspect_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--adapters", required=True, metavar="DIR", help="adapter folder made by clara fit")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--text", nargs="+", metavar="TEXT", help="documents to compress")
    what.add_argument("--question", nargs="+", metavar="TEXT", help="questions, as search reads them")
    what.add_argument("--store", metavar="DIR", help="stored memory of the documents that --id names")
    parser.add_argument("--id", nargs="+", metavar="ID", help="ids of documents in the store")
    parser.add_argument("--top", type=int, default=4, metavar="N", help="words for each place (default: 4)")
    parser.add_argument("--json", action="store_true", help="print one JSON object a text")
    _model_options(parser)


def _questions(given: str) -> list[str]:
    found = [line.strip() for line in sys.stdin] if given == "-" else [given.strip()]
    questions = [question for question in found if question]
    if not questions:
        raise ClaraError("question: it is empty")
    return questions


def ask(args: argparse.Namespace) -> None:
    """Answer a question from the memory of the best documents in a store."""
    questions = _questions(args.question)
    from clara_lightning.cli.screen import print_answer
    from clara_lightning.inference.pipeline import ClaraPipeline

    pipeline = ClaraPipeline.open(
        adapters=args.adapters, store=args.store, backbone=_backbone(args), device=args.device
    )
    if args.explain:
        _explain(args, pipeline, questions)
        return
    for answer in pipeline.answer(questions, top_k=args.top_k, max_new_tokens=args.max_new_tokens):
        if args.json:
            hits = [{"id": h.document.id, "title": h.document.title, "score": h.score} for h in answer.hits]
            print(json.dumps({"question": answer.question, "answer": answer.text, "documents": hits}))
        else:
            print_answer(answer)


def _explain(args: argparse.Namespace, pipeline: ClaraPipeline, questions: Sequence[str]) -> None:
    from clara_lightning.cli.look import print_explanation
    from clara_lightning.inference.explain import explain

    for question in questions:
        explanation = explain(pipeline, question, top_k=args.top_k, max_new_tokens=args.max_new_tokens)
        if args.json:
            print(json.dumps(explanation.to_json(), ensure_ascii=False))
        else:
            print_explanation(explanation)


def search(args: argparse.Namespace) -> None:
    """Show the best documents of a store for a question."""
    questions = _questions(args.question)
    from clara_lightning.cli.screen import print_hits
    from clara_lightning.inference.pipeline import ClaraPipeline

    pipeline = ClaraPipeline.open(
        adapters=args.adapters, store=args.store, backbone=_backbone(args), device=args.device
    )
    for question, hits in zip(questions, pipeline.search(questions, top_k=args.top_k), strict=True):
        if args.json:
            rows = [
                {"id": h.document.id, "title": h.document.title, "text": h.document.text, "score": h.score}
                for h in hits
            ]
            print(json.dumps({"question": question, "documents": rows}, ensure_ascii=False))
        else:
            print_hits(hits)


def evaluate(args: argparse.Namespace) -> None:
    """Measure adapters on questions: answers under many conditions, retrieval, baselines, costs, and a report.

    clara evaluate compare A B   paired bootstrap between two reports, or two systems of them
    clara evaluate spread A B C  mean and standard deviation over reports

    An interrupted evaluation goes on where it was when the same command is given again.
    """
    from clara_lightning.evaluation.run import evaluate_folder
    from clara_lightning.evaluation.settings import EvaluationSettings

    results, costs = evaluate_folder(
        EvaluationSettings(
            adapters=args.adapters,
            data=args.data,
            store=args.store,
            out=args.out,
            conditions=None if args.conditions is None else tuple(filter(None, args.conditions.split(","))),
            candidates=args.candidates,
            reasoners=_named_folders(args.reasoner),
            dense=args.dense,
            paraphrases=args.paraphrases,
            top_k=args.top_k,
            limit=args.limit,
            seed=args.seed,
            batch_size=args.batch_size,
            max_new_tokens=args.max_new_tokens,
            skip_bad_rows=args.skip_bad_rows,
            backbone=_backbone(args),
            device=args.device,
        )
    )
    if args.json:
        print(json.dumps(results.to_json() | {"cost": asdict(costs)}))
    else:
        from clara_lightning.cli.screen import print_results

        print_results(results, costs, out=args.out)


def compare(args: argparse.Namespace) -> None:
    """Paired bootstrap between two runs, or two systems: the questions that both have, one by one."""
    from clara_lightning.evaluation.compare import compare as compare_reports

    rows = compare_reports(args.first, args.second, seed=args.seed)
    if args.json:
        from clara_lightning.evaluation.results import finite

        print(json.dumps(finite([row.to_json() for row in rows])))
    else:
        from clara_lightning.cli.screen import print_comparison

        print_comparison(rows)


def spread(args: argparse.Namespace) -> None:
    """Mean and standard deviation of every figure over reports: what a seed, or a sample of questions, is worth."""
    from clara_lightning.evaluation.compare import spread as spread_reports

    rows = spread_reports(args.reports)
    if args.json:
        print(json.dumps([row.to_json() for row in rows]))
    else:
        from clara_lightning.cli.screen import print_spread

        print_spread(rows)


def _named_folders(given: Sequence[str]) -> dict[str, str]:
    folders: dict[str, str] = {}
    for text in given:
        name, found, folder = text.partition("=")
        if not found or not folder:
            raise ClaraError(f"--reasoner: expected NAME=DIR, got {text!r}")
        if name in folders:
            raise ClaraError(f"--reasoner: {name!r} is given twice")
        folders[name] = folder
    return folders


def estimate(args: argparse.Namespace) -> None:
    """Say before a run what it takes: parameters, memory, time and storage. No weights are read."""
    if not any(word == "-c" or word.startswith("--config") for word in args.settings):
        raise ClaraError("estimate: --config is required: a file as clara fit takes it (see clara estimate --help)")
    from clara_lightning.cli.main import configuration_errors

    with configuration_errors(args.settings):
        from clara_lightning.cli.trainer import parse_settings

        settings = parse_settings(args.settings)
    from clara_lightning.cli.screen import print_estimate
    from clara_lightning.estimate.estimate import Request
    from clara_lightning.estimate.estimate import estimate as estimate_run
    from clara_lightning.estimate.lengths import Assumptions

    assumed = Assumptions(args.question_tokens, args.answer_tokens, args.template_tokens, args.rows)
    found = estimate_run(settings, Request(args.device, args.mfu, args.documents, assumed))
    if args.json:
        print(json.dumps(found.to_json()))
    else:
        print_estimate(found)


def convert(args: argparse.Namespace) -> None:
    """Make files of this project from data sets in their published formats, or from a folder of texts."""
    from clara_lightning.data.convert.run import convert as convert_files

    counts = convert_files(
        args.name,
        args.source,
        args.out,
        skip_bad_rows=args.skip_bad_rows,
        split=args.split,
        max_words=args.max_words,
        replace=args.replace,
    )
    print(json.dumps(counts.to_json()) if args.json else f"{args.out}: {counts.sentence()}")


def demo(args: argparse.Namespace) -> None:
    """Compress, encode, train jointly, answer and measure: the whole pipeline on the World Factbook, on a laptop."""
    from clara_lightning.demo.run import run_demo

    run_demo(args.out, fast=args.fast)


def doctor(args: argparse.Namespace) -> None:
    """Show what this machine offers: processor, memory, accelerators, versions, and what 'auto' means here."""
    from clara_lightning.cli.doctor import examine

    rows = examine()
    if args.json:
        print(json.dumps(rows))
        return
    width = max(map(len, rows))
    print("\n".join(f"{name:<{width}}  {finding}" for name, finding in rows.items()))


def inspect(args: argparse.Namespace) -> None:
    """Show the words in a memory: what each place decodes to, and which of these words do not stand in the text.

    A text is read anew, and its last hidden states go through the LM's own head. Stored memory is not: for it the
    input embeddings are shown that it lies nearest to.
    """
    if args.top < 1:
        raise ClaraError(f"--top must be >= 1, got {args.top}")
    if (args.store is None) != (args.id is None):
        raise ClaraError("--id names documents of a --store: give both, or neither")
    for option, given in (("--text", args.text), ("--question", args.question)):
        if not all(text.strip() for text in given or ()):
            raise ClaraError(f"{option}: it is empty")
    from clara_lightning.cli.look import Looked, look_into, print_looked

    looked: list[Looked] = look_into(
        args.adapters,
        texts=args.text or (),
        questions=args.question or (),
        store=args.store,
        ids=args.id or (),
        top=args.top,
        backbone=_backbone(args),
        device=args.device,
    )
    for each in looked:
        if args.json:
            print(json.dumps(each.to_json(), ensure_ascii=False))
        else:
            print_looked(each)


def _backbone(args: argparse.Namespace):  # type: ignore[no-untyped-def]  # its class is heavy to import
    from clara_lightning.backbone.loading import BackboneConfig

    return BackboneConfig(name=args.backbone, dtype=args.dtype)


VERBS = {
    "ask": Verb("answer a question from a store", _ask_options, ask, "ask"),
    "search": Verb("find documents in a store", _store_options, search, "search"),
    "inspect": Verb("the words in a memory", _inspect_options, inspect, "inspect"),
    "evaluate": Verb(
        "measure adapters on questions",
        _evaluate_options,
        evaluate,
        "evaluate",
        verbs={
            "compare": Verb("two reports, question by question", _compare_options, compare, "evaluate compare"),
            "spread": Verb("figures over several reports", _spread_options, spread, "evaluate spread"),
        },
    ),
    "convert": Verb("make data files from other formats", _convert_options, convert, "convert"),
    "doctor": Verb("what this machine offers", _doctor_options, doctor, "doctor"),
    "estimate": Verb(
        "what a run takes, from its configuration", _estimate_options, estimate, "estimate", passes_on=True
    ),
    "demo": Verb("the whole pipeline on an embedded corpus", _demo_options, demo, "demo"),
}
