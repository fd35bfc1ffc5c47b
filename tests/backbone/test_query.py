"""What is learned of a question's vectors beside its adapter: nothing at first, then direction and weight."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from clara_lightning.backbone.adapters import COMPRESSOR, GENERATOR, QUERY_REASONER
from clara_lightning.backbone.backbone import ClaraBackbone
from clara_lightning.backbone.folder import AdapterFolder, build_from_folder
from clara_lightning.backbone.loading import BackboneConfig
from clara_lightning.backbone.memory import MemoryConfig
from clara_lightning.backbone.query import QueryConfig, QueryHead
from clara_lightning.errors import ClaraError

DIM = 6
BOTH = QueryConfig(projection=2, importance=True)
LEARNED = ("--model.query.projection", 2, "--model.query.importance", "true")
FAST = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.01)
FLOAT32 = BackboneConfig(dtype="float32")


@pytest.fixture
def head() -> QueryHead:
    return QueryHead(
        MemoryConfig(tokens=3, document_tokens=8),
        query=BOTH,
        embedding_mean_D=torch.zeros(DIM),
        embedding_std_D=torch.ones(DIM),
        vocab_size=10,
    )


def normal(*shape: int, seed: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_at_first_nothing_is_changed(head: QueryHead) -> None:
    plain = QueryHead(
        head.config,
        query=QueryConfig(),
        embedding_mean_D=torch.zeros(DIM),
        embedding_std_D=torch.ones(DIM),
        vocab_size=10,
    )
    hidden_NLD, anchor_NLD, weights_NL = normal(2, 3, DIM, seed=0), normal(2, 3, DIM, seed=1), torch.rand(2, 3)
    assert not plain.learned and len(head.learned) == 4
    torch.testing.assert_close(head.memory(hidden_NLD, anchor_NLD), plain.memory(hidden_NLD, anchor_NLD))
    assert torch.equal(head.weights(hidden_NLD, weights_NL), weights_NL)
    assert plain.weights(hidden_NLD, weights_NL) is weights_NL


def test_everything_that_is_learned_has_a_gradient_from_the_first_step_on(head: QueryHead) -> None:
    hidden_NLD, weights_NL = normal(2, 3, DIM, seed=0), torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    query_NLD = head.memory(hidden_NLD, normal(2, 3, DIM, seed=1))
    weighed = query_NLD * head.weights(hidden_NLD, weights_NL).unsqueeze(-1)
    (weighed * normal(2, 3, DIM, seed=2)).sum().backward()
    assert head.projection is not None and head.importance is not None
    assert head.projection[1].weight.grad.abs().sum() > 0
    assert (head.importance.weight.grad.abs().sum(1) > 0).all()


def test_a_vector_without_a_word_can_come_to_count(head: QueryHead) -> None:
    assert head.importance is not None
    torch.nn.init.constant_(head.importance.bias, 0.5)
    weights_NL = torch.tensor([[1.0, 2.0, 0.0], [3.0, 0.0, 0.0]])
    found = head.weights(normal(2, 3, DIM, seed=0), weights_NL)
    factor = torch.tensor(0.5).exp()
    wanted = torch.tensor([[factor + 0.75, 2 * factor + 0.75, 0.75], [3 * factor + 1.5, 1.5, 1.5]])
    torch.testing.assert_close(found, wanted)


def test_no_weight_is_negative_or_endless(head: QueryHead) -> None:
    assert head.importance is not None
    with torch.no_grad():
        head.importance.bias.copy_(torch.tensor([100.0, -100.0]))
    found = head.weights(normal(1, 3, DIM, seed=0), torch.tensor([[1.0, 2.0, 0.0]]))
    torch.testing.assert_close(found, torch.tensor([[1.0, 2.0, 0.0]]) * torch.tensor(4.0).exp())


def test_a_negative_rank_is_refused() -> None:
    with pytest.raises(ClaraError, match=r"model\.init_args\.query\.projection must be >= 0, got -1"):
        QueryConfig(projection=-1)


@pytest.fixture(scope="module")
def run(commands: Any, undropped: Path, run_here: Callable[..., int], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("query") / "run"
    assert run_here(*commands.fit_joint(folder, undropped, *LEARNED, *FAST)) == 0
    return folder


def weights(adapters: Path) -> dict[str, torch.Tensor]:
    return load_file(adapters / "memory_tokens.safetensors")


def test_what_was_learned_is_handed_on_and_used(run: Path, undropped: Path) -> None:
    folder = AdapterFolder.open(run)
    assert folder.query == BOTH and AdapterFolder.open(undropped).query == QueryConfig()
    found = weights(run / "adapters")
    names = ("projection.0.weight", "projection.1.weight", "importance.weight", "importance.bias")
    assert all(found[f"query_reasoner.{name}"].abs().sum() > 0 for name in names)
    assert not any("compressor.projection" in name for name in found)
    whole = build_from_folder(folder, backbone=FLOAT32)
    spoilt = build_from_folder(folder, backbone=FLOAT32)
    head = spoilt.head(QUERY_REASONER)
    assert isinstance(head, QueryHead) and head.projection is not None and head.importance is not None
    for layer in (head.projection[1], head.importance):
        torch.nn.init.zeros_(layer.weight)
    asked = ["Which town lies on the river?"]
    own, other = (backbone.read(asked, adapter=QUERY_REASONER) for backbone in (whole, spoilt))
    assert not torch.equal(own.memory_NLD, other.memory_NLD) and not torch.equal(own.weights_NL, other.weights_NL)
    documents = [backbone.compress(asked) for backbone in (whole, spoilt)]
    assert torch.equal(*documents)


def test_it_learns_at_a_rate_of_its_own(run: Path) -> None:
    shown = yaml.safe_load((run / "settings_in_effect.yaml").read_text(encoding="utf-8"))["optimizer"]
    found = dict(re.findall(r"(learning rate|memory tokens|query) ([\d.e-]+)", shown))
    rate = float(found["learning rate"])
    assert float(found["memory tokens"]) == pytest.approx(2 * rate)
    assert float(found["query"]) == pytest.approx(10 * rate)


def test_a_next_stage_takes_it_over_and_refuses_another(commands: Any, clara: Any, run: Path, tmp_path: Path) -> None:
    still = ("--model.optimizer", "torch.optim.AdamW", "--model.optimizer.lr", 0.0, "--trainer.max_steps", 1)
    outcome = clara(*commands.fit_joint(tmp_path / "next", run, *still))
    assert outcome.code == 0, outcome.err
    shown = yaml.safe_load((tmp_path / "next" / "settings_in_effect.yaml").read_text(encoding="utf-8"))
    assert shown["query vectors"] == "learned: a projection of rank 2 and the importance of each"
    assert shown["optimizer"].startswith("AdamW, learning rate 0, memory tokens 0, query 0")
    own, before = weights(tmp_path / "next" / "adapters"), weights(run / "adapters")
    assert own.keys() == before.keys() and all(torch.equal(value, before[name]) for name, value in own.items())

    refused = clara(*commands.fit_joint(tmp_path / "other", run, "--model.query.projection", 3))
    assert refused.mistake == "model.init_args.query differs from that of model.init_args.init_from: leave it out"


def test_query_reasoners_that_learned_different_things_search_side_by_side(run: Path, joint: Path) -> None:
    folder = AdapterFolder.open(run)
    backbone = build_from_folder(folder, backbone=FLOAT32, reasoners={"plain": AdapterFolder.open(run)})
    asked = ["Which town?"]
    found = [backbone.read(asked, adapter=name).memory_NLD for name in (QUERY_REASONER, "plain")]
    assert torch.equal(*found)


def test_a_negative_rate_is_refused(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    refused = clara(*commands.fit_joint(tmp_path / "run", undropped, "--model.query_lr_scale", -1))
    assert refused.mistake == "model.init_args.query_lr_scale must be >= 0, got -1.0"


def test_a_rate_of_nothing_is_named(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    outcome = clara(
        *commands.fit_joint(tmp_path / "run", undropped, "--model.query_lr_scale", 3, "--trainer.max_steps", 1)
    )
    assert "without effect: model.init_args.query_lr_scale: model.init_args.query adds nothing" in outcome.err


def test_importance_is_of_late_interaction_alone(commands: Any, clara: Any, undropped: Path, tmp_path: Path) -> None:
    refused = clara(*commands.fit_joint(tmp_path / "run", undropped, *LEARNED, "--model.score", "mean"))
    assert refused.mistake == "model.init_args.score must be maxsim with query.importance, got mean"


def test_the_compressor_has_a_plain_head(tiny_backbone: Any) -> None:
    backbone: ClaraBackbone = tiny_backbone(adapters=(COMPRESSOR, GENERATOR, QUERY_REASONER))
    assert not isinstance(backbone.head(COMPRESSOR), QueryHead)
    assert isinstance(backbone.head(QUERY_REASONER), QueryHead)
