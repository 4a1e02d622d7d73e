"""What every fine-tuning method must do. A test subclasses `MethodConformance` and inherits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bequest.common.errors import ArchitectureError, DataError
from bequest.evaluators.peft import Handle, attach
from tests.evaluators.peft.backbones import make_backbone, make_inputs, outputs

UNFIT = {("bitfit", "t5"), ("bitfit", "llama"), ("dept", "timm"), ("ia3", "timm")}
"""Methods, and kinds of backbones that they say they do not fit."""

MERGEABLE = {"bitfit", "full", "ia3", "layernorm", "library", "lora", "sparse", "top-k"}
"""Methods that become weights of the backbone."""

RATE = 3e-3
LABELS = torch.tensor([0, 1, 2])


class MethodConformance:
    """Subclass it and provide the fixtures ``method`` and ``kind``, the backbone's.

    Knobs that a method cannot do without come from `needed`.
    """

    @pytest.fixture(autouse=True)
    def fits(self, method: str, kind: str) -> None:
        if (method, kind) in UNFIT:
            with pytest.raises(ArchitectureError):
                put(method, make_backbone(kind))
            pytest.skip(f"{method!r} says that it does not fit {kind!r}")

    @pytest.fixture
    def model(self, kind: str) -> nn.Module:
        return make_backbone(kind)

    @pytest.fixture
    def inputs(self, kind: str) -> dict[str, Tensor]:
        return make_inputs(kind)

    @pytest.fixture
    def handle(self, method: str, model: nn.Module) -> Handle:
        return put(method, model)

    def test_only_the_method_is_trained(self, handle: Handle, model: nn.Module) -> None:
        trained = {id(p) for p in handle.trainable_parameters()}
        assert all(p.requires_grad == (id(p) in trained) for p in model.parameters())

    def test_trains(self, method: str, handle: Handle, inputs: dict[str, Tensor]) -> None:
        before = features(handle, inputs)
        losses, reached = train(handle, inputs, steps=16)
        assert min(losses[-6:]) < losses[0]
        assert not [name for name, _ in handle.named_parameters() if name not in reached]
        after = features(handle, inputs)  # a head alone could lower the loss, too
        assert torch.equal(after, before) == (method == "probe")

    def test_the_backbone_is_untouched_but_for_what_is_trained(
        self, handle: Handle, model: nn.Module, inputs: dict[str, Tensor]
    ) -> None:
        trained = {id(p) for p in handle.trainable_parameters()}
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        train(handle, inputs, steps=2)
        for name, parameter in model.named_parameters():
            assert id(parameter) in trained or torch.equal(parameter, before[name])

    def test_removes_without_a_trace(
        self, method: str, model: nn.Module, inputs: dict[str, Tensor]
    ) -> None:
        before, flags = outputs(model, inputs), [p.requires_grad for p in model.parameters()]
        handle = put(method, model)
        train(handle, inputs, steps=3)
        handle.remove()
        assert torch.equal(outputs(model, inputs), before)
        assert [p.requires_grad for p in model.parameters()] == flags
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

    def test_merges_or_says_that_it_cannot(
        self, method: str, handle: Handle, model: nn.Module, inputs: dict[str, Tensor]
    ) -> None:
        train(handle, inputs, steps=3)
        wanted = features(handle, inputs)
        assert handle.mergeable == (method in MERGEABLE)
        if not handle.mergeable:
            with pytest.raises(ArchitectureError, match="cannot be merged"):
                handle.merge()
            return
        handle.merge()
        with torch.no_grad():
            merged = attach(model, "probe").features(inputs)
        assert torch.allclose(merged, wanted, atol=1e-5)

    def test_saves_and_loads_its_own_weights(
        self, method: str, kind: str, handle: Handle, inputs: dict[str, Tensor], tmp_path: Path
    ) -> None:
        train(handle, inputs, steps=8)
        handle.save(tmp_path / "method.safetensors")
        other = put(method, make_backbone(kind), seed=9)  # what is drawn is saved, too
        other.load(tmp_path / "method.safetensors")
        assert torch.allclose(features(other, inputs), features(handle, inputs), atol=1e-6)

    def test_refuses_a_foreign_state(self, handle: Handle) -> None:
        with pytest.raises(DataError, match="foreign"):
            handle.load_state({"own.foreign": torch.zeros(1)})


def needed(method: str, model: nn.Module) -> dict[str, Any]:
    """Knobs without which a method makes no sense, sized for tiny backbones."""
    if method == "scalearn":
        source = attach(model, "adapter", bottleneck=8)
        torch.manual_seed(2)
        for parameter in source.trainable_parameters():
            nn.init.normal_(parameter, std=0.3)
        state = source.state()
        source.remove()
        return {"sources": [state, state]}
    small = {"bottleneck": 8}
    return {
        "adapter": small,
        "das": {**small, "skip": 2, "search_share": 1.0},
        "mam": {**small, "length": 3},
    }.get(method, {})


def put(method: str, model: nn.Module, seed: int = 3) -> Handle:
    """A method on a backbone, the same for a seed."""
    knobs = needed(method, model)
    torch.manual_seed(seed)
    handle = attach(model, method, **knobs)
    handle.train()
    return handle


@torch.no_grad()
def features(handle: Handle, inputs: dict[str, Tensor]) -> Tensor:
    """Without dropout."""
    handle.train(False)
    found = handle.features(inputs)
    handle.train()
    return found


def train(handle: Handle, inputs: dict[str, Tensor], *, steps: int) -> tuple[list[float], set[str]]:
    """A few steps as a trainer takes them; the losses, and which parameters had a gradient."""
    torch.manual_seed(4)
    head = nn.Linear(handle.readout.width, 3)
    of_head = torch.optim.Adam(head.parameters(), RATE)
    own: Any = None
    losses: list[float] = []
    reached: set[str] = set()

    def loss() -> Tensor:
        return nn.functional.cross_entropy(head(handle.features(inputs)), LABELS)

    for step in range(steps):
        again = handle.advance(step / steps, losses[-1] if losses else 0.0)
        if handle.trainable_parameters() and (own is None or again):
            own = torch.optim.Adam(handle.groups(RATE))
        for optimizer in (of_head, own):
            if optimizer is not None:
                optimizer.zero_grad()
        value, penalty = loss(), None
        penalty = handle.regularise()
        (value if penalty is None else value + penalty).backward()
        handle.after_backward(loss)
        reached |= {
            n for n, p in handle.named_parameters() if p.grad is not None and bool(p.grad.any())
        }
        for optimizer in (of_head, own):
            if optimizer is not None:
                optimizer.step()
        losses.append(value.item())
    return losses, reached
