"""Kernels against GPyTorch's own and plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from gpytorch.kernels import MaternKernel, RBFKernel

from bequest.search.surrogates.kernels import (
    count_kernel,
    gaussian,
    matern,
    mixed_kernel,
    squared_distances,
)

RNG = np.random.default_rng(0)
A, B = RNG.normal(size=(4, 3)), RNG.normal(size=(5, 3))
PLAIN = np.square(A[:, None] - B).sum(2)


def test_squared_distances_of_arrays_and_tensors() -> None:
    np.testing.assert_allclose(squared_distances(A, B), PLAIN, rtol=1e-12)
    tensors = squared_distances(torch.tensor(A), torch.tensor(B))
    np.testing.assert_allclose(tensors, PLAIN, rtol=1e-12)
    far = 1e6 + RNG.random((20, 3))
    assert squared_distances(far, far).min() >= 0, "rounding leaves nothing below 0"


def test_the_gaussian_kernel_is_gpytorchs() -> None:
    rbf = RBFKernel().double()
    rbf.lengthscale = torch.tensor(0.7, dtype=torch.float64)
    expected = rbf(torch.tensor(A), torch.tensor(B)).to_dense().detach()
    np.testing.assert_allclose(gaussian(PLAIN, 0.7), expected, rtol=1e-10)
    np.testing.assert_allclose(gaussian(torch.tensor(PLAIN), 0.7), expected, rtol=1e-10)


def test_the_matern_kernel_is_gpytorchs() -> None:
    kernel = MaternKernel(nu=2.5).double()
    kernel.lengthscale = 1.0
    expected = kernel(torch.tensor(A), torch.tensor(B)).to_dense().detach()
    np.testing.assert_allclose(matern(torch.tensor(PLAIN)), expected, rtol=1e-6)
    at_zero = torch.zeros(1, requires_grad=True, dtype=torch.float64)
    matern(at_zero).backward()  # type: ignore[no-untyped-call]
    assert torch.isfinite(at_zero.grad).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_kernel_of_counts_is_gpytorchs_for_each_scale(dtype: torch.dtype) -> None:
    scales = torch.tensor([0.5, 2.0], dtype=torch.float64)
    x, y = torch.tensor(A).to(dtype), torch.tensor(B).to(dtype)
    ours = count_kernel(scales)(x, y).to_dense()
    assert ours.shape == (2, 4, 5)
    for scale, kernel in zip(scales.tolist(), ours, strict=True):
        np.testing.assert_allclose(kernel, gaussian(PLAIN, scale), rtol=1e-4)
    assert torch.equal(count_kernel(scales)(x, diag=True), torch.ones(2, 4, dtype=dtype))


def test_the_mixed_kernel_multiplies_shares_of_other_choices_and_a_matern() -> None:
    scales = torch.tensor([0.5, 2.0, 0.3], dtype=torch.float64)
    x = torch.tensor([[0.0, 1.0, 0.2], [0.0, 2.0, 0.9]], dtype=torch.float64)
    kernel = mixed_kernel(scales, [0, 1], [2])(x, x).to_dense()
    distance = np.sqrt(5) * 0.7 / 0.3
    expected = np.exp(-(0 / 0.5 + 1 / 2.0) / 2) * (1 + distance + distance**2 / 3)
    expected *= np.exp(-distance)
    assert float(kernel[0, 1]) == pytest.approx(expected, rel=1e-9)
    assert kernel.diagonal().tolist() == pytest.approx([1, 1])
