"""A method with a head: what its weights are, kept and taken back."""

from __future__ import annotations

import torch

from bequest.evaluators.finetuning.network import TunedNetwork
from bequest.evaluators.peft import attach
from tests.evaluators.peft.backbones import make_backbone, make_inputs


def network(seed: int) -> TunedNetwork:
    model = make_backbone("bert")
    torch.manual_seed(seed)
    return TunedNetwork(attach(model, "lora"), 3).eval()


def test_weights_are_those_of_head_and_method_and_come_back() -> None:
    first, second = network(0), network(1)
    with torch.no_grad():  # a new LoRA adds nothing
        for weight in first.handle.weights.values():
            weight.add_(0.1)
    kept = first.state_dict()
    assert {"head.weight", "head.bias"} < set(kept)
    assert {n for n in kept if n.startswith("method.")} == {
        f"method.{name}" for name in first.handle.state()
    }
    inputs = make_inputs("bert")
    assert not torch.allclose(first(inputs), second(inputs))
    second.load_state_dict(kept)
    assert torch.equal(first(inputs), second(inputs))
