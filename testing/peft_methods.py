"""What every fine-tuning method must do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from ..common.errors import ArchitectureError, DataError
from ..evaluators.peft import Handle, attach
from ..evaluators.peft.registry import method_named
from ..evaluators.peft.space import method_of, peft_space

RATE = 3e-3
CLASSES = 3


class MethodSuite:
    """Subclass it and provide the fixtures ``method`` (a name), ``model`` and ``inputs``.

    Override ``knobs`` where a method needs some, or smaller ones on a tiny backbone; ``fits`` where
    it rightly refuses one.
    """

    @pytest.fixture
    def method(self) -> Any:
        """The name of the method that is tested."""
        raise NotImplementedError("provide the fixture 'method'")

    @pytest.fixture
    def model(self) -> Any:
        """A backbone, the same each time that it is made."""
        raise NotImplementedError("provide the fixture 'model'")

    @pytest.fixture
    def inputs(self) -> Any:
        """Some inputs of the backbone, as keyword arguments."""
        raise NotImplementedError("provide the fixture 'inputs'")

    @pytest.fixture
    def knobs(self, method: str, model: nn.Module) -> dict[str, Any]:
        """The method's knobs."""
        return {}

    @pytest.fixture
    def fits(self) -> bool:
        """Whether the method fits the backbone; if not, it must say so."""
        return True

    @pytest.fixture
    def handle(self, method: str, model: nn.Module, knobs: dict[str, Any], fits: bool) -> Handle:
        """The method on the backbone."""
        if not fits:
            with pytest.raises(ArchitectureError):
                put(method, model, knobs)
            pytest.skip(f"{method!r} says that it does not fit {type(model).__name__}")
        return put(method, model, knobs)

    def test_only_the_method_is_trained(self, handle: Handle, model: nn.Module) -> None:
        """Everything else of the backbone is frozen."""
        trained = {id(p) for p in handle.trainable_parameters()}
        assert all(p.requires_grad == (id(p) in trained) for p in model.parameters())

    def test_trains(self, method: str, handle: Handle, inputs: dict[str, Tensor]) -> None:
        """The loss falls, every parameter has a gradient, and features change."""
        before = features(handle, inputs)
        losses, reached = train(handle, inputs, steps=16)
        assert min(losses[-6:]) < losses[0]
        assert not [name for name, _ in handle.named_parameters() if name not in reached]
        after = features(handle, inputs)  # a head alone could lower the loss, too
        assert torch.equal(after, before) == (not list(handle.named_parameters()))

    def test_the_backbone_is_untouched_but_for_what_is_trained(
        self, handle: Handle, model: nn.Module, inputs: dict[str, Tensor]
    ) -> None:
        """Frozen weights stay as they are."""
        trained = {id(p) for p in handle.trainable_parameters()}
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        train(handle, inputs, steps=2)
        for name, parameter in model.named_parameters():
            assert id(parameter) in trained or torch.equal(parameter, before[name])

    def test_removes_without_a_trace(
        self, method: str, model: nn.Module, inputs: dict[str, Tensor], handle: Handle
    ) -> None:
        """Taken off, the backbone computes what it did before, bit for bit."""
        train(handle, inputs, steps=3)
        handle.remove()
        plain = attach(model, "probe")
        after = features(plain, inputs)
        plain.remove()
        assert torch.equal(after, self.untouched)
        assert [p.requires_grad for p in model.parameters()] == self.flags
        assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())

    @pytest.fixture(autouse=True)
    def _note(self, model: nn.Module, inputs: dict[str, Tensor]) -> None:
        """Note what the backbone computes before any method is there."""
        self.flags = [p.requires_grad for p in model.parameters()]
        plain = attach(model, "probe")
        self.untouched = features(plain, inputs)
        plain.remove()

    def test_merges_or_says_that_it_cannot(
        self, method: str, handle: Handle, model: nn.Module, inputs: dict[str, Tensor]
    ) -> None:
        """What merges gives the same features as weights of the backbone."""
        train(handle, inputs, steps=3)
        wanted = features(handle, inputs)
        merges = method_named(method).merges
        assert merges is None or handle.mergeable == merges
        if not handle.mergeable:
            with pytest.raises(ArchitectureError, match="cannot be merged"):
                handle.merge()
            return
        handle.merge()
        with torch.no_grad():
            merged = attach(model, "probe").features(inputs)
        assert torch.allclose(merged, wanted, atol=1e-5)

    def test_saves_and_loads_its_own_weights(
        self,
        method: str,
        model: nn.Module,
        handle: Handle,
        knobs: dict[str, Any],
        inputs: dict[str, Tensor],
        tmp_path: Path,
    ) -> None:
        """Its state is all that a method on an untouched backbone needs."""
        train(handle, inputs, steps=8)
        handle.save(tmp_path / "method.safetensors")
        wanted = features(handle, inputs)
        handle.remove()
        other = put(method, model, knobs, seed=9)  # what is drawn is saved, too
        other.load(tmp_path / "method.safetensors")
        assert torch.allclose(features(other, inputs), wanted, atol=1e-6)

    def test_refuses_a_foreign_state(self, handle: Handle) -> None:
        """Weights of another method are named."""
        with pytest.raises(DataError, match="foreign"):
            handle.load_state({"own.foreign": torch.zeros(1)})

    def test_what_it_says_of_itself_is_sound(self, method: str) -> None:
        """Searched knobs are knobs; its default and its cheapest knobs are in its ranges."""
        facts = method_named(method)
        if facts.ranges is None:
            pytest.skip("it is not searched")
        assert set(facts.ranges) <= set(facts.knobs)
        assert facts.free | facts.cheap_last <= set(facts.ranges)
        assert {facts.density, facts.prompt} - {None} <= set(facts.ranges)
        space = peft_space(6, [method])
        assert (space.default is None) == (facts.default is None)
        if space.default is not None:
            assert method_of(space.default).method == method
        for knobs in facts.cheapest():
            assert set(knobs) == set(facts.ranges)


def put(
    method: str, model: nn.Module, knobs: dict[str, Any] | None = None, seed: int = 3
) -> Handle:
    """A method on a backbone, the same for a seed."""
    torch.manual_seed(seed)
    handle = attach(model, method, **(knobs or {}))
    handle.train()
    return handle


@torch.no_grad()
def features(handle: Handle, inputs: dict[str, Tensor]) -> Tensor:
    """Without dropout."""
    handle.train(False)
    pooled = handle.features(inputs)
    handle.train()
    return pooled


def train(handle: Handle, inputs: dict[str, Tensor], *, steps: int) -> tuple[list[float], set[str]]:
    """A few steps of the method and a head; the losses, and which parameters had a gradient."""
    torch.manual_seed(4)
    labels = torch.arange(len(next(iter(inputs.values())))) % CLASSES
    head = nn.Linear(handle.readout.width, CLASSES)
    optimizers: dict[str, torch.optim.Optimizer] = {
        "head": torch.optim.Adam(head.parameters(), RATE)
    }
    losses: list[float] = []
    reached: set[str] = set()

    def loss() -> Tensor:
        return nn.functional.cross_entropy(head(handle.features(inputs)), labels)

    for step in range(steps):
        again = handle.advance(step / steps, losses[-1] if losses else 0.0)
        if handle.trainable_parameters() and ("method" not in optimizers or again):
            optimizers["method"] = torch.optim.Adam(handle.groups(RATE))
        for optimizer in optimizers.values():
            optimizer.zero_grad()
        value = loss()
        penalty = handle.regularise()
        (value if penalty is None else value + penalty).backward()  # type: ignore[no-untyped-call]
        handle.after_backward(loss)
        reached |= {
            n for n, p in handle.named_parameters() if p.grad is not None and bool(p.grad.any())
        }
        for optimizer in optimizers.values():
            optimizer.step()
        losses.append(value.item())
    return losses, reached
