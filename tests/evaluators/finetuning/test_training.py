"""The training of a method and its head: AdamW by hand, warm-up, and what each setting changes."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from bequest.evaluators.finetuning import training
from bequest.evaluators.finetuning.network import TunedNetwork
from bequest.evaluators.finetuning.training import TuningSettings, micro_batches, train
from bequest.evaluators.peft import attach
from tests.evaluators.peft.backbones import make_backbone
from tests.evaluators.steps import first_adam_step, record_rates

SETTINGS = TuningSettings(learning_rate=1e-2, head_factor=5.0, weight_decay=0.1, batch=8, epochs=1)
MODULE = "bequest.evaluators.finetuning.training.make_optimizer"


class Sentences:
    """Eight sentences of four tokens, of three classes."""

    def __init__(self, count: int = 8) -> None:
        generator = torch.Generator().manual_seed(1)
        self.ids = torch.randint(5, 50, (count, 4), generator=generator)
        self.labels = torch.arange(count) % 3

    @property
    def lengths(self) -> list[int]:
        return [4] * len(self)

    def __len__(self) -> int:
        return len(self.ids)

    def inputs(self, index: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        ids = self.ids[list(index)]
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def network(method: str = "lora", **knobs: Any) -> TunedNetwork:
    model = make_backbone("bert")
    torch.manual_seed(0)
    return TunedNetwork(attach(model, method, **knobs), 3)


def trained(settings: TuningSettings, method: str = "lora", **knobs: Any) -> dict[str, Tensor]:
    built = network(method, **knobs)
    train(built, Sentences(settings.batch), settings, seed=0)
    return {name: p.detach() for name, p in built.named_parameters()}


def before(method: str = "lora") -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and gradients of the first step, by name."""
    built, sentences = network(method), Sentences()
    built.train()
    logits = built(sentences.inputs(range(8), torch.device("cpu")))
    functional.cross_entropy(logits, sentences.labels).backward()
    named = dict(built.named_parameters())
    gradients = {n: torch.zeros_like(p) if p.grad is None else p.grad for n, p in named.items()}
    return {n: p.detach().clone() for n, p in named.items()}, gradients


@pytest.mark.parametrize("factor", [0.5, 5.0])
@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_the_first_step_by_hand(factor: float, decay: float) -> None:
    settings = replace(SETTINGS, head_factor=factor, weight_decay=decay)
    weights, gradients = before()
    for name, after in trained(settings).items():
        head = name.startswith("head.")
        rate = settings.learning_rate * (factor if head else 1.0)
        decays = decay if head or after.ndim > 1 else 0.0
        expected = first_adam_step(
            weights[name], gradients[name], rate, decay=decays, decoupled=True
        )
        sure = gradients[name].abs() > 1e-5  # of the others rounding decides the sign
        sure |= gradients[name] == 0
        assert torch.allclose(after[sure], expected[sure], atol=rate * 1e-2), name


def test_vectors_of_a_method_do_not_decay() -> None:
    settings = replace(SETTINGS, weight_decay=0.5, learning_rate=1e-3)
    free = trained(replace(settings, weight_decay=0.0), "layernorm")
    decayed = trained(settings, "layernorm")
    tuned = [name for name in free if name.startswith("tuned.")]
    assert tuned
    assert all(torch.equal(free[name], decayed[name]) for name in tuned)
    assert not torch.allclose(free["head.weight"], decayed["head.weight"], rtol=1e-4)


def test_the_learning_rate_rises_for_six_hundredths_and_falls(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rates = record_rates(monkeypatch, MODULE, training.make_optimizer)
    settings = replace(SETTINGS, epochs=25, batch=4, learning_rate=1e-4)
    train(network(), Sentences(8), settings, seed=0)  # 50 steps
    shares = [1 / 3, 2 / 3, 1.0, *(left / 47 for left in range(47, 0, -1))]
    assert [step[-1] for step in rates] == pytest.approx([5e-4 * share for share in shares])
    assert [step[0] for step in rates] == pytest.approx([1e-4 * share for share in shares])


def test_a_fresh_optimiser_warms_up_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    rates = record_rates(monkeypatch, MODULE, training.make_optimizer)
    settings = replace(SETTINGS, epochs=25, batch=4, learning_rate=1e-5)
    train(network("sparse", first_share=0.5), Sentences(8), settings, seed=0)
    second = [1 / 2, 1.0, *(left / 23 for left in range(23, 0, -1))]
    assert [step[0] for step in rates[25:]] == pytest.approx([1e-5 * share for share in second])


def test_gradients_of_all_that_is_trained_are_clipped_together(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Adam's first step forgets how large gradients are, but its state does not."""
    optimizers: list[Any] = []
    original = training.make_optimizer

    def make(*args: Any) -> Any:
        optimizers.append(original(*args))
        return optimizers[-1]

    monkeypatch.setattr(MODULE, make)
    monkeypatch.setattr(training, "CLIP", 1e-3)  # far below the norm of these gradients
    train(network(), Sentences(), SETTINGS, seed=0)
    means = [state["exp_avg"] / 0.1 for state in optimizers[0].state.values()]
    assert float(torch.cat([m.flatten() for m in means]).norm()) == pytest.approx(1e-3, rel=1e-3)


def test_gradients_are_clipped_to_a_norm_of_one() -> None:
    assert training.CLIP == 1.0


def test_a_large_batch_is_the_mean_of_its_parts() -> None:
    parts = list(micro_batches(list(range(40))))
    assert [len(part) for _, part in parts] == [16, 16, 8]
    assert [share for share, _ in parts] == [0.4, 0.4, 0.2]
    assert [i for _, part in parts for i in part] == list(range(40))


@pytest.mark.parametrize(
    "change", [{"learning_rate": 2e-2}, {"head_factor": 1.0}, {"weight_decay": 0.0}, {"epochs": 2}]
)
def test_each_setting_changes_the_result(change: dict[str, float]) -> None:
    usual, other = trained(SETTINGS), trained(replace(SETTINGS, **change))
    assert not torch.allclose(usual["head.weight"], other["head.weight"], rtol=1e-4)


def test_the_backbone_is_not_moved() -> None:
    built = network()
    model = copy.deepcopy(built.model.state_dict())
    train(built, Sentences(), SETTINGS, seed=0)
    assert all(torch.equal(v, model[n]) for n, v in built.model.state_dict().items())


def test_a_score_is_the_share_of_right_answers_and_their_mean_loss() -> None:
    built, sentences = network().eval(), Sentences()
    with torch.no_grad():
        logits = built(sentences.inputs(range(8), torch.device("cpu")))
    sentences.labels = logits.argmax(1)
    sentences.labels[:2] = (sentences.labels[:2] + 1) % 3
    accuracy, loss = training.score(built, sentences)
    assert accuracy == pytest.approx(6 / 8)
    picked = logits.log_softmax(1)[torch.arange(8), sentences.labels]
    assert loss == pytest.approx(-float(picked.mean()), rel=1e-4)
