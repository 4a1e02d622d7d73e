"""Batches of examples: each once, of like lengths; hidden states as a backbone gives them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bequest.evaluators.finetuning.batches import FrozenStates, random_batches, sorted_batches
from bequest.evaluators.peft import attach
from tests.evaluators.peft.backbones import make_backbone


class Sentences:
    """Sentences of the given lengths."""

    def __init__(self, lengths: Sequence[int]) -> None:
        self.lengths = list(lengths)
        self.labels = torch.zeros(len(self), dtype=torch.int64)
        generator = torch.Generator().manual_seed(0)
        self.ids = torch.randint(5, 50, (len(self), max(lengths, default=1)), generator=generator)

    def __len__(self) -> int:
        return len(self.lengths)

    def inputs(self, index: Sequence[int], device: torch.device) -> dict[str, Tensor]:
        length = max(self.lengths[i] for i in index)
        mask = torch.tensor([[int(p < self.lengths[i]) for p in range(length)] for i in index])
        return {"input_ids": self.ids[list(index), :length], "attention_mask": mask}


@given(st.lists(st.integers(1, 9), max_size=60), st.integers(1, 7), st.integers(0, 5))
def test_every_example_is_in_one_batch(lengths: list[int], size: int, seed: int) -> None:
    examples = Sentences(lengths)
    generator = torch.Generator().manual_seed(seed)
    for batches in (
        random_batches(examples, size, generator),
        list(sorted_batches(examples, size)),
    ):
        assert sorted(i for batch in batches for i in batch) == list(range(len(lengths)))
        assert all(1 <= len(batch) <= size for batch in batches)
    met = [lengths[i] for batch in sorted_batches(examples, size) for i in batch]
    assert met == sorted(lengths)


def test_random_batches_are_of_like_lengths_and_differ_by_epoch() -> None:
    examples = Sentences([1, 9] * 32)
    generator = torch.Generator().manual_seed(0)
    first, second = (random_batches(examples, 4, generator) for _ in range(2))
    assert first != second
    assert all(len({examples.lengths[i] for i in batch}) == 1 for batch in first)


def test_stored_states_are_those_of_the_backbone() -> None:
    examples = Sentences([3, 7, 5])
    handle = attach(make_backbone("bert").eval(), "lst")
    states, mask = FrozenStates(handle, examples).batch([2, 0])
    assert mask is not None
    assert mask.tolist() == [[1] * 5, [1, 1, 1, 0, 0]]
    inputs = examples.inputs([2, 0], torch.device("cpu"))
    with torch.no_grad():
        expected = handle.states(inputs)
    assert len(states) == len(expected)
    for stored, now in zip(states, expected, strict=True):
        assert torch.allclose(stored[mask.bool()], now[mask.bool()], atol=1e-5)
        assert not stored[~mask.bool()].any()


def test_states_that_take_too_much_memory_are_not_stored() -> None:
    examples = Sentences([512] * 100)
    # Four bytes, 13 layers of 768: 2 044 723 200 bytes, against the limit of 536 870 912.
    assert not FrozenStates.fits(examples, 12, 768)
    assert FrozenStates.fits(Sentences([512] * 26), 12, 768)
    assert not FrozenStates.fits(Sentences([512] * 27), 12, 768)
