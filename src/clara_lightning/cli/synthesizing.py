"""``clara synthesize``: documents to SCP supervision.

This module imports nothing heavy, so that help answers at once.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from clara_lightning.cli.verb import Verb
from clara_lightning.errors import ClaraError

if TYPE_CHECKING:
    from clara_lightning.synthesis.chat import ChatModel, Sampling
    from clara_lightning.synthesis.run import Run, Settings
    from clara_lightning.synthesis.teacher import Teacher

TEACHERS: Mapping[str, str] = {
    "rules": "no model: gaps and simple questions by rules; the same everywhere, in minutes",
    "endpoint": "an OpenAI-compatible server: vLLM, SGLang, TGI, llama.cpp, or a hosted one (--url, --model)",
    "transformers": "a model of transformers in this process (--model)",
    "vllm": "vLLM in this process (--model; the extra vllm)",
}
# Options that only some teachers take; given to another, they are refused, since they would have no effect.
_MODELS = {"endpoint", "transformers", "vllm"}
_ONLY: Mapping[str, set[str]] = {
    "model": _MODELS,
    "prompts": _MODELS,
    "max_asks": _MODELS,
    "temperature": _MODELS,
    "top_p": _MODELS,
    "max_tokens": _MODELS,
    "seed": _MODELS,
    "price_in": _MODELS,
    "price_out": _MODELS,
    "url": {"endpoint"},
    "key_env": {"endpoint"},
    "concurrency": {"endpoint"},
    "timeout": {"endpoint"},
    "max_attempts": {"endpoint"},
    "requests_per_minute": {"endpoint"},
    "tokens_per_minute": {"endpoint"},
    "structured": {"endpoint"},
    "batch_size": {"transformers", "vllm"},
    "dtype": {"transformers", "vllm"},
    "device": {"transformers"},
    "trust_remote_code": {"transformers", "vllm"},
}


def _options(parser: argparse.ArgumentParser) -> None:
    width = max(map(len, TEACHERS))
    kinds = "\n".join(f"{name:<{width}}  {text}" for name, text in TEACHERS.items())
    parser.epilog = (
        "The work is kept in OUT's folder (scp.synthesis for scp.jsonl): the same command goes on where it stopped.\n"
        "clara synthesize prompts DIR writes the prompts, to be changed and given back with --prompts DIR."
    )
    parser.add_argument("--documents", required=True, metavar="IN", help="file of documents, or folder of .txt and .md")
    parser.add_argument("--out", required=True, metavar="FILE", help="SCP file to write, a name that ends in .jsonl")
    parser.add_argument("--teacher", required=True, choices=list(TEACHERS), help=f"who asks and answers:\n{kinds}")
    _pipeline_options(parser.add_argument_group("what is made of a document"))
    _document_options(parser.add_argument_group("which documents"))
    _model_options(parser.add_argument_group("models as teachers"))
    _endpoint_options(parser.add_argument_group("--teacher endpoint"))
    _local_options(parser.add_argument_group("--teacher transformers and vllm"))
    _run_options(parser.add_argument_group("the run"))


def _pipeline_options(group: Any) -> None:
    group.add_argument("--max-rounds", type=int, default=10, metavar="N", help="of simple questions (default: 10)")
    group.add_argument(
        "--min-coverage", type=float, default=0.8, metavar="X", help="share of facts asked about (default: 0.8)"
    )
    group.add_argument("--no-complex", action="store_true", help="no questions that need several facts")
    group.add_argument("--no-paraphrase", action="store_true", help="no paraphrase")


def _document_options(group: Any) -> None:
    group.add_argument("--limit", type=int, metavar="N", help="the first N documents")
    group.add_argument("--max-words", type=int, default=180, metavar="N", help="longer ones are cut (default: 180)")
    group.add_argument("--min-words", type=int, default=5, metavar="N", help="shorter ones are left out (default: 5)")
    group.add_argument(
        "--near-duplicates", type=float, default=0.8, metavar="X", help="similarity (default: 0.8; 0: only equal ones)"
    )
    group.add_argument(
        "--decontaminate",
        action="append",
        default=[],
        metavar="FILE",
        help="file of evaluation questions; what stands in it is left out (may be repeated)",
    )
    group.add_argument("--ngram", type=int, default=13, metavar="N", help="words in common that count (default: 13)")
    group.add_argument(
        "--against",
        default="both",
        choices=["questions", "passages", "both"],
        help="what of the evaluation files must not appear (default: both)",
    )
    group.add_argument("--skip-bad-rows", type=int, default=0, metavar="N", help="allow N bad rows in a file")


def _model_options(group: Any) -> None:
    group.add_argument("--model", metavar="NAME", help="name at the endpoint, hub id or folder")
    group.add_argument("--prompts", metavar="DIR", help="templates in the place of our own")
    group.add_argument("--max-asks", type=int, metavar="N", help="for one answer that can be read (default: 3)")
    group.add_argument("--temperature", type=float, metavar="X", help="of the draws (default: 0)")
    group.add_argument("--top-p", type=float, metavar="X", help="share of probability drawn from (default: 1)")
    group.add_argument("--max-tokens", type=int, metavar="N", help="of an answer (default: 1024)")
    group.add_argument("--seed", type=int, metavar="N", help="of the draws (default: 0)")
    group.add_argument("--price-in", type=float, metavar="X", help="of a million tokens read, for the cost")
    group.add_argument("--price-out", type=float, metavar="X", help="of a million tokens written")


def _endpoint_options(group: Any) -> None:
    group.add_argument("--url", metavar="URL", help="base address, as http://localhost:8000/v1")
    group.add_argument(
        "--key-env", metavar="NAME", help="environment variable that holds the key (default: OPENAI_API_KEY)"
    )
    group.add_argument("--concurrency", type=int, metavar="N", help="requests in flight (default: 64)")
    group.add_argument("--timeout", type=float, metavar="S", help="seconds for one request (default: 120)")
    group.add_argument("--max-attempts", type=int, metavar="N", help="of a request (default: 6)")
    group.add_argument("--requests-per-minute", type=int, metavar="N", help="at most (default: no limit)")
    group.add_argument("--tokens-per-minute", type=int, metavar="N", help="at most (default: no limit)")
    group.add_argument(
        "--structured",
        choices=["auto", "json_schema", "none"],
        help="hold the model to a JSON schema (default: auto, where the server can)",
    )


def _local_options(group: Any) -> None:
    group.add_argument("--batch-size", type=int, metavar="N", help="answers written at once")
    group.add_argument("--dtype", choices=["auto", "float32", "bfloat16", "float16"], help="(default: auto)")
    group.add_argument("--device", metavar="NAME", help="cuda, mps or cpu (default: the first there is)")
    group.add_argument("--trust-remote-code", action="store_true", default=None, help="run the model's own code")


def _run_options(group: Any) -> None:
    group.add_argument("--open-documents", type=int, metavar="N", help="worked on at once (default: by the teacher)")
    group.add_argument(
        "--workers", type=int, metavar="N", help="processes, or actors of Ray (default: rules all cores, others 1)"
    )
    group.add_argument("--ray", nargs="?", const="local", metavar="ADDRESS", help="work on a Ray cluster")
    group.add_argument("--gpus", type=float, metavar="X", help="of each Ray actor (default: 0)")
    group.add_argument("--dry-run", action="store_true", help="say what it would take, and ask nothing")
    group.add_argument("--collect", action="store_true", help="write OUT from what is finished, and ask nothing")
    group.add_argument("--json", action="store_true", help="print one JSON object")


def synthesize(args: argparse.Namespace) -> None:
    """Make supervision for stage 1 from documents: questions, checked answers and a paraphrase of each."""
    _check_options(args)
    from clara_lightning.synthesis.run import Run

    with Run(args.documents, args.out, make_teacher=_teacher_maker(args), settings=_settings(args)) as run:
        if args.dry_run:
            _print_estimate(run, args)
            return
        failed = {} if args.collect else run.work()
        made = run.write(failed)
    if args.json:
        rows = {"out": args.out, "accepted": made.accepted, "rejected": made.rejected, "failed": dict(made.failed)}
        print(json.dumps({**rows, "report": made.figures.to_json()}))
    else:
        from clara_lightning.synthesis.report.words import summary_lines

        print("\n".join(summary_lines(made.figures)))
        print(f"{args.out}: {made.accepted:,} rows; report: {run.folder.path / 'report.html'}")
    if made.failed:
        name, reason = next(iter(made.failed.items()))
        raise ClaraError(
            f"{len(made.failed)} documents got no answer, the first of them {name}: {reason}; "
            "run the same command again to go on"
        )


def _print_estimate(run: Run, args: argparse.Namespace) -> None:
    prompts = None
    if args.teacher in _MODELS:
        from clara_lightning.synthesis.prompts import Prompts

        prompts = Prompts(args.prompts)
    found = run.estimate(prompts)
    print(json.dumps(found.to_json()) if args.json else "\n".join([run.plan.figures.sentence(), *found.lines()]))


def _check_options(args: argparse.Namespace) -> None:
    """Refuse what is missing, and what would have no effect."""
    for option, teachers in _ONLY.items():
        if getattr(args, option) is not None and args.teacher not in teachers:
            raise ClaraError(
                f"{_flag(option)} has no effect with --teacher {args.teacher}, only with {', '.join(sorted(teachers))}"
            )
    needed = {"endpoint": ("url", "model"), "transformers": ("model",), "vllm": ("model",), "rules": ()}
    for option in needed[args.teacher]:
        if getattr(args, option) is None:
            raise ClaraError(f"{_flag(option)} is required with --teacher {args.teacher}")
    if args.gpus is not None and args.ray is None:
        raise ClaraError("--gpus has no effect without --ray")
    if args.dry_run and args.collect:
        raise ClaraError("--dry-run and --collect exclude each other")


def _flag(option: str) -> str:
    return f"--{option.replace('_', '-')}"


def _given(args: argparse.Namespace, *options: str) -> dict[str, Any]:
    """Options that were given, by name; for the others the defaults hold where they are used."""
    return {option: value for option in options if (value := getattr(args, option)) is not None}


def _settings(args: argparse.Namespace) -> Settings:
    from clara_lightning.synthesis.documents import DocumentSettings
    from clara_lightning.synthesis.pipeline import PipelineSettings
    from clara_lightning.synthesis.progress import Price
    from clara_lightning.synthesis.run import Settings

    documents = DocumentSettings(
        max_words=args.max_words,
        min_words=args.min_words,
        near_duplicates=args.near_duplicates,
        decontaminate=tuple(args.decontaminate),
        ngram=args.ngram,
        against=args.against,
        skip_bad_rows=args.skip_bad_rows,
        limit=args.limit,
    )
    pipeline = PipelineSettings(
        max_rounds=args.max_rounds,
        min_coverage=args.min_coverage,
        complex=not args.no_complex,
        paraphrase=not args.no_paraphrase,
    )
    price = Price(args.price_in or 0.0, args.price_out or 0.0)
    return Settings(documents, pipeline, price, _spread(args), **_open_documents(args))


def _open_documents(args: argparse.Namespace) -> dict[str, int]:
    """Enough documents to keep the teacher busy: each has at least one request open."""
    if args.open_documents is not None:
        return {"open_documents": args.open_documents}
    busy = {"rules": 1, "endpoint": args.concurrency or 64, "transformers": 64, "vllm": 512}
    return {"open_documents": busy[args.teacher]}


def _spread(args: argparse.Namespace) -> Any:
    import os

    from clara_lightning.synthesis.run import Spread

    workers = args.workers
    if args.ray is not None:
        return Spread(
            "ray", 1 if workers is None else workers, None if args.ray == "local" else args.ray, args.gpus or 0.0
        )
    if workers is None:
        workers = len(os.sched_getaffinity(0)) if args.teacher == "rules" else 1
    return Spread("here" if workers == 1 else "processes", workers)


def _teacher_maker(args: argparse.Namespace) -> Callable[[], Teacher]:
    """What makes the teacher, here or in another process."""
    if args.teacher == "rules":
        from clara_lightning.synthesis.teachers.rules import RulesTeacher

        return RulesTeacher
    from clara_lightning.synthesis.chat import Sampling

    sampling = Sampling(**_given(args, "temperature", "top_p", "max_tokens", "seed"))
    return partial(
        _model_teacher,
        _model_maker(args, sampling),
        kind=args.teacher,
        prompts=args.prompts,
        options=_given(args, "max_asks"),
    )


def _model_teacher(
    make_model: Callable[[], ChatModel], *, kind: str, prompts: str | None, options: Mapping[str, Any]
) -> Teacher:
    from clara_lightning.synthesis.prompts import Prompts
    from clara_lightning.synthesis.teachers.prompted import PromptedTeacher

    return PromptedTeacher(make_model(), kind=kind, prompts=Prompts(prompts), **options)


def _model_maker(args: argparse.Namespace, sampling: Sampling) -> Callable[[], ChatModel]:
    if args.teacher == "endpoint":
        from clara_lightning.synthesis.teachers.endpoint import EndpointModel, EndpointSettings

        names = ("key_env", "concurrency", "timeout", "max_attempts", "requests_per_minute", "tokens_per_minute")
        settings = EndpointSettings(args.url, args.model, **_given(args, *names, "structured"))
        return partial(EndpointModel, settings, sampling=sampling)
    if args.teacher == "vllm":
        from clara_lightning.synthesis.teachers.vllm_model import VllmModel, VllmSettings

        engine = VllmSettings(args.model, **_given(args, "dtype", "batch_size", "trust_remote_code"))
        return partial(VllmModel, engine, sampling=sampling)
    from clara_lightning.synthesis.teachers.transformers_model import TransformersModel, TransformersSettings

    local = TransformersSettings(args.model, **_given(args, "dtype", "device", "batch_size"))
    load = partial(_load, args.model, **_given(args, "dtype", "trust_remote_code"))
    return partial(TransformersModel, local, sampling=sampling, load=load)


def _load(name: str, **options: Any) -> Any:
    """A model and its tokenizer, where it is asked."""
    from clara_lightning.backbone.loading import BackboneConfig, load_pretrained

    try:
        return load_pretrained(BackboneConfig(name=name, **options))
    except ClaraError as error:
        raise ClaraError(str(error).replace("model.init_args.backbone.name", "--model")) from error


def _prompts_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder to write them to; none that is there is replaced")


def prompts(args: argparse.Namespace) -> None:
    """Write the prompts of clara synthesize into a folder, to be changed and given back with --prompts."""
    from clara_lightning.synthesis.prompts import write_prompts

    print("\n".join(map(str, write_prompts(args.folder))))


VERBS = (
    Verb(
        "synthesize",
        "make supervision for stage 1 from documents",
        _options,
        synthesize,
        verbs={"prompts": Verb("synthesize prompts", "write the prompts", _prompts_options, prompts)},
    ),
)
