"""``clara synthesize`` as it is typed: outputs, mistakes, and a kill at any moment."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections import Counter
from pathlib import Path
from typing import Any, get_args

import pytest

from clara_lightning.data.readers import read_scp
from clara_lightning.data.records import Document
from clara_lightning.synthesis.tasks import Request, TaskName
from clara_lightning.synthesis.teachers.rules import RulesTeacher

PLACES = ["Alba", "Brod", "Cimar", "Dorn", "Elva", "Faro", "Gant", "Hoxa", "Ivar", "Jura"]
RIVERS = ["Tana", "Ume", "Varga", "Wisla", "Yser"]


def town(number: int) -> dict[str, Any]:
    """A document about a town that does not exist."""
    name, river = f"{PLACES[number % 10]}{'dort berg heim stad ville'.split()[number // 10 % 5]}", RIVERS[number % 5]
    text = (
        f"{name} is a town in Norland. It lies on the river {river}. {name} was founded in {1100 + 7 * number}. "
        f"The mayor of {name} is Marit {PLACES[(number * 3) % 10]}. It has {12000 + 311 * number} inhabitants."
    )
    return {"id": f"t{number}", "title": name, "text": text}


@pytest.fixture
def towns(tmp_path: Path) -> Path:
    """A file of documents."""
    path = tmp_path / "towns.jsonl"
    path.write_text("".join(json.dumps(town(number)) + "\n" for number in range(24)), encoding="utf-8")
    return path


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


# --- the rules teacher --------------------------------------------------------------------------------------------


def test_rules_make_supervision_that_stage_1_reads(clara: Any, towns: Path, tmp_path: Path) -> None:
    out = tmp_path / "scp.jsonl"
    done = clara("synthesize", "--documents", towns, "--out", out, "--teacher", "rules", "--workers", 1)
    assert done.code == 0, done.err
    examples = list(read_scp(out))
    assert len(examples) == 24 and all(example.pairs for example in examples)
    assert all(example.teacher == "rules" for example in examples)
    row = rows(out)[0]
    assert set(row["synthesis"]) == {"fingerprint", "rounds", "coverage"}
    assert {pair["found"] for pair in row["pairs"]} <= {"exact", "teacher"}
    assert (tmp_path / "scp.synthesis" / "report.html").is_file()
    assert "24 of 24 documents" in done.out


def test_processes_give_the_same_rows(clara: Any, towns: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        options = (
            "--documents",
            towns,
            "--out",
            tmp_path / f"{workers}.jsonl",
            "--teacher",
            "rules",
            "--workers",
            workers,
        )
        assert clara("synthesize", *options).code == 0
    assert (tmp_path / "1.jsonl").read_bytes() == (tmp_path / "2.jsonl").read_bytes()


def test_more_documents_are_added_to_what_is_there(clara: Any, towns: Path, tmp_path: Path) -> None:
    options = ("--documents", towns, "--out", tmp_path / "scp.jsonl", "--teacher", "rules", "--workers", 1)
    assert clara("synthesize", *options, "--limit", 5).code == 0
    assert len(rows(tmp_path / "scp.jsonl")) == 5
    assert clara("synthesize", *options).code == 0
    whole = (tmp_path / "scp.jsonl").read_bytes()
    assert clara("synthesize", *options, "--limit", 5).code == 0
    assert len(rows(tmp_path / "scp.jsonl")) == 5  # what was left out now is still known, and not written
    assert clara("synthesize", *options, "--collect").code == 0
    assert (tmp_path / "scp.jsonl").read_bytes() == whole


def test_a_dry_run_asks_nothing(clara: Any, towns: Path, tmp_path: Path) -> None:
    done = clara("synthesize", "--documents", towns, "--out", tmp_path / "scp.jsonl", "--teacher", "rules", "--dry-run")
    assert done.code == 0 and "24 documents to work on" in done.out
    assert not (tmp_path / "scp.jsonl").exists()


def test_a_dry_run_for_an_endpoint_says_requests_tokens_and_cost(clara: Any, towns: Path, tmp_path: Path) -> None:
    endpoint = ("--teacher", "endpoint", "--url", "http://127.0.0.1:9/v1", "--model", "m")
    options = ("--documents", towns, "--out", tmp_path / "scp.jsonl", *endpoint, "--dry-run", "--json")
    found = json.loads(clara("synthesize", *options, "--price-in", 1, "--price-out", 2).out)
    assert found["documents"] == 24
    assert found["usage"]["requests"] == 24 * 23
    tokens = found["usage"]["prompt_tokens"] + 2 * found["usage"]["completion_tokens"]
    assert found["cost"] == pytest.approx(tokens / 1e6)


def test_json_holds_the_whole_report(clara: Any, towns: Path, tmp_path: Path) -> None:
    options = ("--documents", towns, "--out", tmp_path / "scp.jsonl", "--teacher", "rules", "--workers", 1, "--json")
    found = json.loads(clara("synthesize", *options).out)
    assert found["accepted"] == 24 and found["rejected"] == 0 and found["failed"] == {}


def test_questions_of_an_evaluation_are_not_made(clara: Any, towns: Path, tmp_path: Path) -> None:
    options = ("--documents", towns, "--teacher", "rules", "--workers", 1)
    clara("synthesize", *options, "--out", tmp_path / "all.jsonl")
    known = [pair["question"] for row in rows(tmp_path / "all.jsonl") for pair in row["pairs"][:1]]
    evaluation = tmp_path / "evaluation.jsonl"
    questions = ({"id": f"q{n}", "question": q, "answers": ["x"], "gold_ids": ["t"]} for n, q in enumerate(known))
    evaluation.write_text("".join(json.dumps(question) + "\n" for question in questions), encoding="utf-8")
    decontaminate = ("--decontaminate", evaluation, "--against", "questions", "--min-coverage", 0)
    assert clara("synthesize", *options, "--out", tmp_path / "clean.jsonl", *decontaminate).code == 0
    asked = {pair["question"] for row in rows(tmp_path / "clean.jsonl") for pair in row["pairs"]}
    assert asked and not asked & set(known)


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        (("--teacher", "rules", "--url", "http://x"), "--url has no effect with --teacher rules, only with endpoint"),
        (("--teacher", "endpoint", "--model", "m"), "--url is required with --teacher endpoint"),
        (("--teacher", "transformers"), "--model is required with --teacher transformers"),
        (("--teacher", "rules", "--gpus", 1), "--gpus has no effect without --ray"),
        (("--teacher", "rules", "--min-coverage", 1.5), "--min-coverage must be between 0 and 1, got 1.5"),
        (("--teacher", "rules", "--max-rounds", 0), "--max-rounds must be >= 1, got 0"),
        (("--teacher", "rules", "--workers", 0), "--workers must be >= 1, got 0"),
        (("--teacher", "rules", "--near-duplicates", 2), "--near-duplicates must be between 0 and 1, got 2.0"),
        (("--teacher", "rules", "--decontaminate", "no.jsonl"), "no.jsonl: no such file or directory"),
        (
            ("--teacher", "endpoint", "--model", "m", "--url", "http://x/v1", "--prompts", "no"),
            "--prompts: no: no such folder",
        ),
    ],
)
def test_a_mistake_is_one_line(clara: Any, towns: Path, tmp_path: Path, options: tuple[Any, ...], mistake: str) -> None:
    done = clara("synthesize", "--documents", towns, "--out", tmp_path / "scp.jsonl", *options)
    assert done.mistake == mistake


def test_bad_documents_are_named(clara: Any, tmp_path: Path) -> None:
    path = tmp_path / "documents.jsonl"
    path.write_text('{"id": "a", "text": ""}\n', encoding="utf-8")
    done = clara("synthesize", "--documents", path, "--out", tmp_path / "scp.jsonl", "--teacher", "rules")
    assert done.mistake == f"{path}:1: text: empty"


def test_markup_other_languages_and_repetitions_are_survived(clara: Any, tmp_path: Path) -> None:
    texts = [
        "<div class='x'>{{Infobox}}</div> [[Alba|the town]] lies on the Tana. <br/> It has 12,000 inhabitants.",
        "東京は日本の首都です。人口は1400万人です。「東京タワー」は1958年に建てられました。",
        "القاهرة هي عاصمة مصر. تأسست عام 969.",
        "🙂 🙂 🙂 🙂 🙂 🙂",
        *[town(1)["text"]] * 3,
        "Norland " * 3000,
    ]
    path = tmp_path / "documents.jsonl"
    path.write_text(
        "".join(json.dumps({"id": f"d{n}", "text": t}) + "\n" for n, t in enumerate(texts)), encoding="utf-8"
    )
    done = clara(
        "synthesize", "--documents", path, "--out", tmp_path / "scp.jsonl", "--teacher", "rules", "--workers", 1
    )
    assert done.code == 0, done.err
    left_out = Counter(row["reason"] for row in rows(tmp_path / "scp.synthesis" / "left_out.jsonl"))
    assert left_out["duplicate"] >= 2
    assert "t" not in {row["id"] for row in rows(tmp_path / "scp.synthesis" / "rejects.jsonl")}


# --- an endpoint --------------------------------------------------------------------------------------------------


@pytest.fixture
def plain_prompts(tmp_path: Path) -> Path:
    """Templates that hand a request over as JSON, so that a scripted server can read it."""
    folder = tmp_path / "prompts"
    folder.mkdir()
    names = ("missing", "asked", "question", "pairs", "faults", "paraphrase")
    fields = " ".join(
        f"{{% if {name} is defined %}}{{{{ {{'{name}': {name}}} | tojson }}}}\n{{% endif %}}" for name in names
    )
    for task in get_args(TaskName):
        (folder / f"{task}.md").write_text(f"# user\n{{{{ document | tojson }}}}\n{fields}\n", encoding="utf-8")
    return folder


def request_in(body: Any) -> Request:
    """The request that a body of :func:`plain_prompts` holds."""
    task = body["response_format"]["json_schema"]["name"]
    document, *fields = [json.loads(line) for line in body["messages"][-1]["content"].splitlines() if line.strip()]
    title, _, text = document.partition("\n ")
    return Request(task, Document("d", text, title), {k: v for one in fields for k, v in one.items()})


def by_rules(body: Any) -> str:
    """What the rules teacher would say."""
    return json.dumps(asyncio.run_coroutine_threadsafe(RulesTeacher().reply(request_in(body)), _LOOP).result().value)


def _start_loop() -> asyncio.AbstractEventLoop:
    import threading

    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


_LOOP = _start_loop()


def endpoint(server: Any, *options: object) -> tuple[object, ...]:
    return ("--teacher", "endpoint", "--url", server.url, "--model", "m", *options)


def test_an_endpoint_gives_what_its_model_says(
    clara: Any, towns: Path, tmp_path: Path, scripted_server: Any, plain_prompts: Path
) -> None:
    server = scripted_server(by_rules)
    options = ("--documents", towns, "--out", tmp_path / "scp.jsonl", *endpoint(server, "--prompts", plain_prompts))
    done = clara("synthesize", *options)
    assert done.code == 0, done.err
    assert clara("synthesize", "--documents", towns, "--out", tmp_path / "r.jsonl", "--teacher", "rules").code == 0
    ours = [{**row, "teacher": "", "synthesis": 0} for row in rows(tmp_path / "scp.jsonl")]
    assert ours == [{**row, "teacher": "", "synthesis": 0} for row in rows(tmp_path / "r.jsonl")]
    assert rows(tmp_path / "scp.jsonl")[0]["teacher"] == "endpoint:m"
    assert not (tmp_path / "scp.synthesis" / "replies.jsonl").exists()


def test_another_model_or_prompt_does_not_go_on_with_the_same_file(
    clara: Any, towns: Path, tmp_path: Path, scripted_server: Any, plain_prompts: Path
) -> None:
    server = scripted_server(by_rules)
    options = ("--documents", towns, "--out", tmp_path / "scp.jsonl", "--limit", 1)
    assert clara("synthesize", *options, *endpoint(server, "--prompts", plain_prompts)).code == 0
    done = clara("synthesize", *options, *endpoint(server, "--prompts", plain_prompts, "--temperature", 1))
    assert "was begun with teacher.model.sampling.temperature 0.0, now 1.0" in done.mistake
    done = clara("synthesize", *options, *endpoint(server))
    assert "was begun with teacher.prompts.fingerprint" in done.mistake


def test_a_wrong_key_stops_at_once_and_is_shown_nowhere(
    clara: Any, towns: Path, tmp_path: Path, scripted_server: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = scripted_server([scripted_server.reply(status=401, body={"error": {"message": "bad key sk-secret-123"}})])
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-123")
    done = clara("synthesize", "--documents", towns, "--out", tmp_path / "scp.jsonl", *endpoint(server))
    assert "OPENAI_API_KEY" in done.mistake and "sk-secret" not in done.err
    assert len(server.requests) <= 24
    kept = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file())
    assert b"sk-secret" not in kept


def test_no_network_is_one_line_and_nothing_is_lost(
    clara: Any, towns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clara_lightning.synthesis.teachers.pace_of_requests.FIRST_WAIT", 0.001)
    options = ("--teacher", "endpoint", "--url", "http://127.0.0.1:9/v1", "--model", "m", "--max-attempts", 2)
    done = clara("synthesize", "--documents", towns, "--out", tmp_path / "scp.jsonl", *options)
    assert done.mistake.startswith("--url http://127.0.0.1:9/v1") and "cannot be reached" in done.mistake


def test_a_teacher_that_says_nothing_of_use_is_stopped(
    clara: Any, towns: Path, tmp_path: Path, scripted_server: Any
) -> None:
    done = clara("synthesize", "--documents", towns, "--out", tmp_path / "scp.jsonl", *endpoint(scripted_server([""])))
    assert "nothing that it said about the first 20 documents can be used" in done.mistake


def test_documents_without_an_answer_are_tried_by_the_next_run(
    clara: Any, towns: Path, tmp_path: Path, scripted_server: Any, plain_prompts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("clara_lightning.synthesis.teachers.pace_of_requests.FIRST_WAIT", 0.001)
    ill = {town(3)["title"], town(7)["title"]}

    def script(body: Any) -> Any:
        bad = request_in(body).document.title in ill
        return scripted_server.reply(status=500) if bad else by_rules(body)

    server = scripted_server(script)
    options = ("--documents", towns, "--out", tmp_path / "scp.jsonl", *endpoint(server, "--prompts", plain_prompts))
    done = clara("synthesize", *options, "--max-attempts", 2)
    assert done.code == 2 and "2 documents got no answer" in done.err
    assert len(rows(tmp_path / "scp.jsonl")) == 22
    ill.clear()
    server.requests.clear()
    assert clara("synthesize", *options, "--max-attempts", 2).code == 0
    assert len(rows(tmp_path / "scp.jsonl")) == 24
    assert {request_in(seen.body).document.title for seen in server.requests} == {town(3)["title"], town(7)["title"]}


def test_a_kill_at_any_moment_loses_nothing_and_asks_nothing_twice(
    clara: Any,
    towns: Path,
    tmp_path: Path,
    scripted_server: Any,
    plain_prompts: Path,
    start_clara: Any,
    kill_when: Any,
    finish: Any,
) -> None:
    server = scripted_server(
        lambda body: scripted_server.reply(body=scripted_server.completion(by_rules(body)), delay=0.002)
    )
    tail = endpoint(server, "--prompts", plain_prompts, "--concurrency", 4)
    assert clara("synthesize", "--documents", towns, "--out", tmp_path / "whole.jsonl", *tail).code == 0
    undisturbed = Counter(request_in(seen.body).key for seen in server.requests)
    server.requests.clear()
    command = ("synthesize", "--documents", towns, "--out", tmp_path / "killed.jsonl", *tail)
    draw, kills = random.Random(0), 5
    for _ in range(kills):
        end = len(server.requests) + draw.randint(1, undisturbed.total() // (kills + 1))
        kill_when(start_clara(*command), lambda end=end: len(server.requests) >= end)
    done = finish(start_clara(*command))
    assert done.code == 0, done.err
    assert (tmp_path / "killed.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    for name in ("rejects.jsonl", "left_out.jsonl"):
        assert (tmp_path / "killed.synthesis" / name).read_bytes() == (tmp_path / "whole.synthesis" / name).read_bytes()
    asked = Counter(request_in(seen.body).key for seen in server.requests)
    assert asked.keys() == undisturbed.keys()
    assert asked.total() - undisturbed.total() <= 4 * kills  # those that were in flight


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_ctrl_c_keeps_what_is_finished(
    towns: Path, tmp_path: Path, scripted_server: Any, plain_prompts: Path, start_clara: Any, finish: Any
) -> None:
    import signal
    import time

    server = scripted_server(
        lambda body: scripted_server.reply(body=scripted_server.completion(by_rules(body)), delay=0.01)
    )
    command = (
        "synthesize",
        "--documents",
        towns,
        "--out",
        tmp_path / "scp.jsonl",
        *endpoint(server, "--prompts", plain_prompts, "--concurrency", 2),
    )
    process = start_clara(*command)
    while len(server.requests) < 60:
        time.sleep(0.001)
    process.send_signal(signal.SIGINT)
    done = finish(process)
    assert done.code == 130 and done.err.endswith("clara: interrupted; run the same command again to go on\n")
    before = len(server.requests)
    assert finish(start_clara(*command)).code == 0
    assert len(rows(tmp_path / "scp.jsonl")) == 24
    asked = Counter(request_in(seen.body).key for seen in server.requests)
    assert before > 50 and max(asked.values()) <= 2 and sum(count > 1 for count in asked.values()) <= 2


def test_prompts_are_written_to_be_changed(clara: Any, tmp_path: Path) -> None:
    done = clara("synthesize", "prompts", tmp_path / "mine")
    assert done.code == 0 and (tmp_path / "mine" / "simple_questions.md").is_file()
