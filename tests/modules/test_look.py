"""What a training shows of its inside: read back from the files that TensorBoard reads."""

from __future__ import annotations

import csv
import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.lens import Lens, Place, Word, anchor_words, logit_lens
from clara_lightning.data.examples import ReadingExample
from clara_lightning.data.records import Passage, Question
from clara_lightning.modules.look import escaped, gradient_norm, looked_at, markdown

LEARNING = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01)
Backbones = Callable[..., ClaraBackbone]

WATCHER = """
import json, torch
from pathlib import Path
from clara_lightning.backbone.adapters import active_adapter
from clara_lightning.modules.look import LookInside

HOOKS = ("on_before_optimizer_step", "on_validation_end")

class Watcher(LookInside):
    # Looks a second time, and notes what that changed.
    def __init__(self, out: str) -> None:
        super().__init__()
        self.out = out

def watched(hook):
    def run(self, trainer, module, *args):
        backbone = module.backbone
        def state():
            gradients = [p.grad for p in module.parameters() if p.grad is not None]
            return {
                "chance": hash(torch.get_rng_state().numpy().tobytes()),
                "training": [m.training for m in module.modules()],
                "adapter": active_adapter(backbone._layers),
                "weights": float(sum(p.double().sum() for p in module.parameters() if p.requires_grad)),
                "gradients": float(sum(g.double().sum() for g in gradients)),
            }
        before = state()
        getattr(LookInside, hook)(self, trainer, module, *args)
        with Path(self.out).open("a") as file:
            file.write(json.dumps({"hook": hook, "same": state() == before}) + chr(10))
    return run

for hook in HOOKS:
    setattr(Watcher, hook, watched(hook))
"""


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open(encoding="utf-8") as file:
        return [{name: value for name, value in row.items() if value} for row in csv.DictReader(file)]


def values(run: Path, name: str) -> list[float]:
    return [float(row[name]) for row in rows_of(run) if name in row]


def events(run: Path) -> EventAccumulator:
    found = EventAccumulator(str(run), size_guidance={"tensors": 0, "histograms": 0})
    found.Reload()
    return found


def texts(run: Path, kind: str) -> list[tuple[int, str]]:
    return [
        (event.step, event.tensor_proto.string_val[0].decode())
        for event in events(run).Tensors(f"lens/{kind}/text_summary")
    ]


def projector(run: Path) -> tuple[str, list[list[str]], list[list[float]]]:
    """Name, labels and vectors of the embedding that TensorBoard's projector finds."""
    folder = run / "projector"
    config = (folder / "projector_config.pbtxt").read_text(encoding="utf-8")
    paths = dict(re.findall(r'(\w+): "(.*)"', config))
    labels = [line.split("\t") for line in (folder / paths["metadata_path"]).read_text(encoding="utf-8").splitlines()]
    vectors = [
        [float(value) for value in line.split("\t")]
        for line in (folder / paths["tensor_path"]).read_text(encoding="utf-8").splitlines()
    ]
    assert config.count("tensor_name") == 1
    return paths["tensor_name"], labels, vectors


@pytest.mark.parametrize(("stage", "steps"), [("compressor_run", [4, 8]), ("joint_run", [4])])
def test_each_validation_shows_the_words_in_documents_and_questions(
    stage: str, steps: list[int], request: pytest.FixtureRequest, commands: Any
) -> None:
    run = request.getfixturevalue(stage)

    for kind in ("document", "question"):
        found = texts(run, kind)
        assert [step for step, _ in found] == steps
        assert all(text.count("| place | anchor | decodes to |") == 4 for _, text in found)
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    if stage == "joint_run":
        assert all(escaped(row["question"]) in texts(run, "question")[0][1] for row in rows[:4])


def test_the_words_are_those_of_the_adapters_that_were_just_validated(compressor_run: Path, commands: Any) -> None:
    from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
    from clara_lightning.backbone.loading import BackboneConfig

    folder = AdapterFolder.open(compressor_run)
    backbone = build_from_folder(folder, backbone=BackboneConfig(dtype="float32"))
    first = json.loads(commands.files.scp.read_text(encoding="utf-8").splitlines()[0])

    (lens,) = logit_lens(backbone, [first["document"]], adapter=COMPRESSOR, top=3)

    assert texts(compressor_run, "document")[-1][1].startswith(markdown(lens))


def test_the_projector_holds_the_vectors_of_the_newest_validation_with_labels(
    compressor_run: Path, commands: Any
) -> None:
    name, (header, *labels), vectors = projector(compressor_run)

    assert name == "vectors:00008"
    assert header == ["kind", "place", "anchor", "text"]
    assert len(labels) == len(vectors) == 2 * 4 * 4  # four validation rows of four places, documents and questions
    assert {len(vector) for vector in vectors} == {32}
    assert [label[0] for label in labels] == ["document"] * 16 + ["question"] * 16
    assert [label[1] for label in labels] == ["1", "2", "3", "4"] * 8
    assert list(compressor_run.glob("projector/0*")) == [compressor_run / "projector" / "00008"]


def test_vectors_and_texts_are_as_many_as_asked_for(
    commands: Any, clara: Any, compressor: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    few = ("--look.texts", 1, "--look.vectors", 6, "--trainer.max_steps", 1, "--trainer.val_check_interval", 1)

    assert clara(*commands.fit_joint(run, compressor, *few)).code == 0

    assert [text.count("| place |") for _, text in texts(run, "document")] == [1]
    _, (_, *labels), vectors = projector(run)
    assert [label[0] for label in labels] == ["document"] * 6 + ["question"] * 6
    assert len(vectors) == 12


def test_zero_turns_a_part_off(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    off = ("--look.texts", 0, "--look.vectors", 0, "--trainer.max_steps", 1, "--trainer.val_check_interval", 1)

    assert clara(*commands.fit_joint(run, compressor, *off)).code == 0

    assert not [tag for tag in events(run).Tags()["tensors"] if tag.startswith("lens/")]
    assert not (run / "projector").exists()


def test_scores_of_gold_and_other_documents_are_histograms(joint_run: Path) -> None:
    found = events(joint_run)

    for name, count in (("gold", 2), ("others", 6)):  # two questions a batch, one gold of four passages
        shown = found.Histograms(f"scores/{name}")
        assert [event.step for event in shown] == [0, 1, 2, 3]
        assert all(sum(event.histogram_value.bucket) == count for event in shown)
        assert all(-1 <= event.histogram_value.min <= event.histogram_value.max <= 1 for event in shown)


@pytest.mark.parametrize(
    ("stage", "trained"), [("compressor_run", {COMPRESSOR, GENERATOR}), ("joint_run", {GENERATOR, QUERY_REASONER})]
)
def test_every_trained_adapter_has_the_norm_of_its_gradient_at_every_logged_step(
    stage: str, trained: set[str], request: pytest.FixtureRequest
) -> None:
    run = request.getfixturevalue(stage)
    names = {name for row in rows_of(run) for name in row if "grad_norm" in name}

    assert names == {f"train/grad_norm_{name}" for name in trained}
    for name in names:
        assert len(values(run, name)) == len(values(run, "train/loss"))
        assert all(value > 0 for value in values(run, name))
        assert [event.value for event in events(run).Scalars(name)] == pytest.approx(values(run, name), rel=1e-6)


def test_the_entropy_of_the_selection_is_logged_in_stage_3(joint_run: Path) -> None:
    assert len(values(joint_run, "train/selection_entropy")) == 4
    assert all(0 <= value <= 1.387 for value in values(joint_run, "train/selection_entropy"))  # log 4 passages


def test_gradients_are_logged_as_often_as_losses(commands: Any, clara: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"

    assert clara(*commands.fit_compressor(run, "--trainer.log_every_n_steps", 3)).code == 0

    logged = [row for row in rows_of(run) if "train/loss" in row]
    assert [row["step"] for row in logged] == ["2", "5"]
    assert all("train/grad_norm_compressor" in row for row in logged)
    assert [event.step for event in events(run).Scalars("train/grad_norm_compressor")] == [2, 5]


def test_without_logged_steps_only_validations_are_written(commands: Any, clara: Any, tmp_path: Path) -> None:
    run = tmp_path / "run"

    outcome = clara(*commands.fit_compressor(run, "--trainer.log_every_n_steps", 0))

    assert outcome.code == 0, outcome.err
    assert [row["step"] for row in rows_of(run)] == ["3", "7"]
    assert not any(name.startswith("train/") for row in rows_of(run) for name in row)


def test_the_norm_is_the_one_before_clipping(commands: Any, clara: Any, tmp_path: Path) -> None:
    found = []
    for clip in (1e-3, 1e3):
        run = tmp_path / str(clip)
        one = ("--trainer.max_steps", 1, "--trainer.gradient_clip_val", clip)
        assert clara(*commands.fit_compressor(run, *one)).code == 0
        found.append(values(run, "train/grad_norm_generator"))

    assert found[0] == found[1] and found[0][0] > 1e-3


def test_a_norm_is_over_all_that_is_trained_of_an_adapter(tiny_backbone: Backbones, documents: list[str]) -> None:
    backbone = tiny_backbone(adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER))
    backbone.train_only((COMPRESSOR, QUERY_REASONER))
    backbone.read(documents, adapter=COMPRESSOR).memory_NLD.sum().backward()
    squares = {
        name: float((value.grad.double() ** 2).sum())
        for name, value in backbone.named_parameters()
        if value.grad is not None
    }

    assert all(".compressor." in f".{name}" for name in squares)
    assert "heads.compressor.tokens_LD" in squares and len(squares) > 10
    assert float(gradient_norm(backbone, COMPRESSOR)) == pytest.approx(sum(squares.values()) ** 0.5, rel=1e-5)
    assert float(gradient_norm(backbone, QUERY_REASONER)) == 0


@pytest.mark.parametrize("stage", ["compressor", "joint"])
def test_a_run_is_the_same_with_and_without_a_look(
    stage: str, commands: Any, clara: Any, compressor: Path, bytes_of: Any, tmp_path: Path
) -> None:
    often = (*LEARNING, "--trainer.val_check_interval", 2)
    for name, options in (("with", ()), ("without", ("--trainer.logger", "false"))):
        run = tmp_path / name
        fit = commands.fit_compressor(run) if stage == "compressor" else commands.fit_joint(run, compressor)
        assert clara(*fit, *often, *options).code == 0

    looked, other = rows_of(tmp_path / "with"), rows_of(tmp_path / "without")
    seen = [{name for name in row if "grad_norm" in name or "selection" in name} for row in looked]
    assert any(seen)
    assert [{k: v for k, v in row.items() if k not in own} for row, own in zip(looked, seen, strict=True)] == other
    assert bytes_of(tmp_path / "with" / "adapters") == bytes_of(tmp_path / "without" / "adapters")
    assert not list((tmp_path / "without").rglob("*projector*")) and not list((tmp_path / "without").rglob("events*"))


@pytest.mark.parametrize("stage", ["compressor", "joint"])
def test_a_look_changes_no_state(
    stage: str, commands: Any, start_clara: Any, finish: Any, compressor: Path, tmp_path: Path
) -> None:
    (tmp_path / "watcher.py").write_text(WATCHER, encoding="utf-8")
    run, out = tmp_path / "run", tmp_path / "seen.jsonl"
    fit = commands.fit_compressor(run) if stage == "compressor" else commands.fit_joint(run, compressor)
    watch = ("--trainer.callbacks", "watcher.Watcher", "--trainer.callbacks.out", out, "--trainer.max_steps", 4)

    outcome = finish(start_clara(*fit, *watch, path=tmp_path))

    assert outcome.code == 0, outcome.err
    seen = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {row["hook"] for row in seen} == {"on_before_optimizer_step", "on_validation_end"}
    assert all(row["same"] for row in seen)


@pytest.mark.parametrize("strategy", [pytest.param("ddp", marks=pytest.mark.slow), "sharded"])
def test_two_processes_show_what_one_shows(
    strategy: str, commands: Any, start_clara: Any, finish: Any, compressor: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    still = ("--model.optimizer", "torch.optim.SGD", "--model.optimizer.lr", 0.0, "--trainer.max_steps", 2)
    spread = ("--trainer.devices", 2, "--trainer.strategy", strategy, "--data.batch_size", 1)
    running = [
        start_clara(*commands.fit_joint(one, compressor, *still, "--trainer.val_check_interval", 2)),
        start_clara(*commands.fit_joint(two, compressor, *still, "--trainer.val_check_interval", 2, *spread)),
    ]

    for outcome in map(finish, running):
        assert outcome.code == 0, outcome.err

    for kind in ("document", "question"):
        assert texts(two, kind) == texts(one, kind)
    assert len(list(two.glob("events*"))) == 1
    (name, labels, vectors), (other, other_labels, other_vectors) = projector(two), projector(one)
    assert (name, labels) == (other, other_labels)
    torch.testing.assert_close(torch.tensor(vectors), torch.tensor(other_vectors), rtol=1e-4, atol=1e-5)
    assert {event.step for event in events(two).Histograms("scores/others")} == {0, 1}


def test_questions_without_passages_show_no_documents(
    commands: Any, clara: Any, compressor: Path, store: Path, tmp_path: Path
) -> None:
    rows = [json.loads(line) for line in commands.files.questions.read_text(encoding="utf-8").splitlines()]
    data, run = tmp_path / "qa.jsonl", tmp_path / "run"
    data.write_text("".join(json.dumps(row | {"passages": []}) + "\n" for row in rows), encoding="utf-8")
    search = ("--model.candidates.search", 1, "--model.store", store, "--model.num_candidates", 4)
    options = ("--data.train", data, "--data.val", data, *search, "--trainer.max_steps", 1)

    outcome = clara(*commands.fit_joint(run, compressor, *options, "--trainer.val_check_interval", 1))

    assert outcome.code == 0, outcome.err
    assert texts(run, "question") and "lens/document/text_summary" not in events(run).Tags()["tensors"]
    assert {label[0] for label in projector(run)[1][1:]} == {"question"}


def test_validation_alone_shows_nothing(commands: Any, clara: Any, compressor: Path, tmp_path: Path) -> None:
    fit = commands.fit_joint(tmp_path / "run", compressor)

    assert clara("validate", *fit[1:]).code == 0

    assert not list(tmp_path.rglob("projector")) and not list(tmp_path.rglob("events*"))


def test_settings_that_show_nothing_are_named(commands: Any, clara: Any, tmp_path: Path) -> None:
    useless = ("--look.texts", 2, "--trainer.logger", "false", "--trainer.max_steps", 1)

    outcome = clara(*commands.fit_compressor(tmp_path / "run", *useless))

    assert "without effect: look.texts: trainer.logger is not TensorBoard's" in outcome.err
    assert "look.vectors" not in outcome.err


@pytest.mark.parametrize("name", ["texts", "vectors"])
def test_fewer_than_none_is_refused(name: str, commands: Any, clara: Any, tmp_path: Path) -> None:
    refused = clara(*commands.fit_compressor(tmp_path / "run", f"--look.{name}", -1))

    assert refused.mistake == f"look.{name} must be >= 0, got -1"


def test_of_each_example_one_document_is_looked_at_and_each_text_once() -> None:
    examples = [
        ReadingExample(("D1", "D2"), "question", "A", "Q1"),
        ReadingExample(("D1",), "paraphrase", "A"),
        Question("c", "Q3", ("A",), (Passage("other", False), Passage("gold", True))),
        Question("d", "Q4", ("A",)),
    ]

    assert looked_at(examples, count=9) == {"document": ["D1", "gold"], "question": ["Q1", "Q3", "Q4"]}
    assert looked_at(examples, count=1) == {"document": ["D1"], "question": ["Q1"]}
    assert looked_at(examples, count=0) == {} == looked_at([], count=4)


def test_text_of_documents_is_shown_by_tensorboard_and_never_obeyed() -> None:
    from tensorboard.plugin_util import markdown_to_safe_html

    text = '<script>alert("x")</script> | *a* [link](http://x) `code` \x1b\n# head'
    lens = Lens(text, False, "probability", (Place("|<b>", (Word("<i>|", 0.5, False), Word("a", 0.25, True))),))

    page = markdown_to_safe_html(markdown(lens))

    shown = html.unescape(page)
    assert "<script" not in page and "<b>" not in page and "<i>" not in page and "href" not in page
    assert "<em>" not in page and "<code>" not in page and "<h1>" not in page
    assert page.count("<td>") == 3 and "<strong>+<i>|</strong> 0.50, a 0.25" in shown
    assert '<script>alert("x")</script> | *a* [link](http://x) `code` \N{REPLACEMENT CHARACTER} # head' in shown


def test_labels_keep_to_their_column(tiny_backbone: Backbones) -> None:
    from clara_lightning.modules.look import _labels

    backbone = tiny_backbone()
    awkward = "a\tb\nc\rd\x0be"
    anchors = anchor_words(backbone, [awkward], adapter=COMPRESSOR)

    lines = ["\t".join(label) for label in _labels("document", [awkward], anchors)]

    assert len(lines) == 4
    assert all(line.count("\t") == 3 and len(line.splitlines()) == 1 for line in lines)
