"""Sparse products on graphs that do not change, with stored transposes.

On a CPU, message passing by gathering and scattering rows costs some fifty times the product with
the adjacency matrix in CSR form; PyTorch's own backward pass of that product builds the transpose
anew each time. Here both are built once for a graph.
"""

from __future__ import annotations

import warnings
from copy import copy
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch_geometric.nn.conv.gcn_conv import gcn_norm
from torch_geometric.utils import add_self_loops, get_laplacian, remove_self_loops

# Said at the first use of the layout; what is used here is tested against dense products.
warnings.filterwarnings("ignore", message="Sparse CSR tensor support is in beta state")


class SparseMatrix:
    """A matrix of fixed structure, to be multiplied with dense ones from the right.

    Args:
        rows: ``[nonzeros]`` int64; entries that stand twice add up.
        cols: ``[nonzeros]`` int64.
        values: ``[nonzeros]`` float32, or ``None`` for ones.
        shape: Rows and columns.
    """

    def __init__(
        self, rows: Tensor, cols: Tensor, values: Tensor | None, shape: tuple[int, int]
    ) -> None:
        order = torch.argsort(rows * shape[1] + cols, stable=True)
        self.shape = shape
        self.rows, self.cols = rows[order], cols[order]
        self.starts = _starts(self.rows, shape[0])
        self.values = torch.ones(len(rows)) if values is None else values[order]

    @classmethod
    def of(cls, dense: Tensor) -> SparseMatrix:
        """The non-zeros of a dense matrix ``[n, m]``."""
        rows, cols = dense.nonzero(as_tuple=True)
        return cls(rows, cols, dense[rows, cols], (dense.shape[0], dense.shape[1]))

    def with_values(self, values: Tensor) -> SparseMatrix:
        """The same structure with other values ``[nonzeros]``, in the order of ``self.values``."""
        self._turned  # noqa: B018  (built once here, shared by all copies)
        other = copy(self)
        other.__dict__.pop("csr", None)
        other.values = values
        return other

    @cached_property
    def csr(self) -> Tensor:
        return _csr(self.starts, self.cols, self.values.detach(), self.shape)

    @cached_property
    def _turned(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row starts and columns of the transpose, and where its values stand in this matrix."""
        order = torch.argsort(self.cols * self.shape[0] + self.rows, stable=True)
        return _starts(self.cols[order], self.shape[1]), self.rows[order], order

    def transposed(self) -> Tensor:
        """The transpose as a CSR tensor."""
        starts, cols, order = self._turned
        return _csr(starts, cols, self.values.detach()[order], (self.shape[1], self.shape[0]))

    def __matmul__(self, dense: Tensor) -> Tensor:
        product: Tensor = _Product.apply(self.values, dense, self)  # type: ignore[no-untyped-call]
        return product

    def maximum(self, dense: Tensor) -> Tensor:
        """The elementwise maximum over each row's columns ``[n, d]``; 0 for an empty row."""
        largest: Tensor = torch.sparse.mm(self.csr, dense, "amax")
        return largest


class FixedMatrix(SparseMatrix):
    """A matrix whose values never change, either: its transpose is stored."""

    @cached_property
    def _kept(self) -> Tensor:
        return super().transposed()

    def transposed(self) -> Tensor:
        return self._kept


class _Product(torch.autograd.Function):
    """``matrix @ dense``, differentiable in the values and in the dense factor."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, dense: Tensor, matrix: SparseMatrix) -> Tensor:
        ctx.matrix = matrix
        ctx.save_for_backward(dense if values.requires_grad else None)
        return matrix.csr @ dense

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,) = gradients
        matrix: SparseMatrix = ctx.matrix
        (dense,) = ctx.saved_tensors
        by_dense = matrix.transposed() @ gradient if ctx.needs_input_grad[1] else None
        by_values = None
        if dense is not None:
            zeros = _csr(matrix.starts, matrix.cols, torch.zeros(len(matrix.cols)), matrix.shape)
            turned = dense.t().contiguous()
            by_values = torch.sparse.sampled_addmm(zeros, gradient.contiguous(), turned).values()
        return by_values, by_dense, None


class Adjacency:
    """The edges of one graph in the forms that layers multiply with, each built when first asked.

    Args:
        edge_index: ``[2, edges]``, from source to target.
        nodes: How many nodes there are.
    """

    def __init__(self, edge_index: Tensor, nodes: int) -> None:
        self.edge_index = edge_index
        self.nodes = nodes

    def _matrix(self, edge_index: Tensor, weight: Tensor | None) -> FixedMatrix:
        return FixedMatrix(edge_index[1], edge_index[0], weight, (self.nodes, self.nodes))

    @cached_property
    def sum(self) -> FixedMatrix:
        return self._matrix(self.edge_index, None)

    @cached_property
    def mean(self) -> FixedMatrix:
        degrees = torch.bincount(self.edge_index[1], minlength=self.nodes).clamp(min=1)
        return self._matrix(self.edge_index, 1 / degrees[self.edge_index[1]].float())

    @cached_property
    def normalised(self) -> FixedMatrix:
        """Kipf and Welling's normalised adjacency, without loops of its own."""
        return self._matrix(*gcn_norm(self.edge_index, None, self.nodes, add_self_loops=False))

    @cached_property
    def normalised_with_loops(self) -> FixedMatrix:
        """Kipf and Welling's normalised adjacency with a loop at each node."""
        return self._matrix(*gcn_norm(self.edge_index, None, self.nodes))

    @cached_property
    def with_loops(self) -> FixedMatrix:
        """One loop at each node, whatever loops there were."""
        edges, _ = add_self_loops(remove_self_loops(self.edge_index)[0], num_nodes=self.nodes)
        return self._matrix(edges, None)

    @cached_property
    def scaled_laplacian(self) -> FixedMatrix:
        """``2 L / lambda - I`` of the symmetric Laplacian, as `ChebConv` scales it."""
        edges, weight = get_laplacian(
            remove_self_loops(self.edge_index)[0], None, "sym", torch.float, self.nodes
        )
        weight = weight / weight.max()
        weight = weight.masked_fill(weight == float("inf"), 0)
        return self._matrix(edges, weight - (edges[0] == edges[1]).float())


def _csr(starts: Tensor, cols: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    return torch.sparse_csr_tensor(starts, cols, values, shape, check_invariants=False)


def _starts(rows: Tensor, count: int) -> Tensor:
    """Where each row begins ``[count + 1]`` in sorted row numbers."""
    starts = torch.zeros(count + 1, dtype=torch.int64)
    torch.cumsum(torch.bincount(rows, minlength=count), 0, out=starts[1:])
    return starts
