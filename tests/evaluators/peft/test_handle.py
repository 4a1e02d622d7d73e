"""A method on a backbone: what the readout reads."""

from __future__ import annotations

import pytest
import torch

from bequest.evaluators.peft import attach

from .backbones import make_backbone, make_inputs, outputs


@pytest.mark.parametrize("kind", ["bert", "vit", "timm"])
def test_a_method_that_is_new_reads_the_backbones_last_states(kind: str) -> None:
    model, inputs = make_backbone(kind).eval(), make_inputs(kind)
    expected = outputs(model, inputs)
    handle = attach(model, "lora")
    with torch.no_grad():
        (last,) = handle.states(inputs)
    assert torch.allclose(last, expected, atol=1e-5)


def test_a_prompt_is_not_pooled() -> None:
    model, inputs = make_backbone("bert").eval(), make_inputs("bert")
    length = outputs(model, inputs).shape[1]
    handle = attach(model, "prompt", length=3)
    with torch.no_grad():
        (last,) = handle.states(inputs)
    assert last.shape[1] == length
