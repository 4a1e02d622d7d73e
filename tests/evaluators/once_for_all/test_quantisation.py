"""Fast rounding: the values and gradients of PyTorch's own fake-quantise kernel."""

from __future__ import annotations

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bequest.evaluators.once_for_all.quantisation import FastRounding, InputQuantiser


@given(
    seed=st.integers(0, 10_000),
    bits=st.sampled_from([4, 6, 8]),
    width=st.floats(0.1, 4.0),
    zero=st.floats(-3.0, 300.0),
)
@settings(max_examples=60, deadline=None)
def test_values_and_gradients_are_those_of_pytorch(
    seed: int, bits: int, width: float, zero: float
) -> None:
    torch.manual_seed(seed)
    most = 2**bits - 1
    x = torch.randn(4, 6, 5, 5).to(memory_format=torch.channels_last).requires_grad_()
    scale = torch.tensor([width / most], requires_grad=True)
    # At a half the two would round differently.
    zero_point = torch.tensor([round(zero) + 0.3], requires_grad=True)
    cotangent = torch.randn_like(x)
    share = (x.numel() * most) ** -0.5
    theirs = torch._fake_quantize_learnable_per_tensor_affine(x, scale, zero_point, 0, most, share)
    ours = FastRounding.apply(x, scale, zero_point, most)
    assert torch.equal(theirs, ours)
    inputs = (x, scale, zero_point)
    found = zip(
        torch.autograd.grad(theirs, inputs, cotangent),
        torch.autograd.grad(ours, inputs, cotangent),
        strict=True,
    )
    for a, b in found:
        assert a.shape == b.shape
        assert torch.allclose(a, b, rtol=1e-3, atol=1e-5)


def test_a_quantiser_learns_its_range_as_pytorchs_module_does() -> None:
    torch.manual_seed(0)
    ours, x = InputQuantiser(4), torch.randn(8, 3, 6, 6).relu()
    ours.observe(True)
    ours(x)
    ours.observe(False)
    before = ours.fake.scale.detach().clone()
    gradients = []
    for quantiser in (ours, ours.fake):
        ours.zero_grad()
        (quantiser(x * 1.3) - x).square().sum().backward()
        gradients.append(ours.fake.scale.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4)
    assert gradients[0].abs() > 0
    assert torch.equal(ours.fake.scale, before)
