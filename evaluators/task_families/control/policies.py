"""The networks of many policies, as one stack of weights: one batched product serves all."""

from __future__ import annotations

import math

import torch
from torch import Tensor

LOG_DEVIATION = -0.5
"""Where the log deviation of a real action starts."""


class Policies:
    """The networks of many sources, as one stack of weights.

    Attributes:
        tensors: By name, each ``[sources, ...]``: ``policy_w0``, ``policy_b0``, ..., ``value_b2``,
            and ``log_deviation`` where actions are real numbers.
        discrete: How many actions there are, or 0.
    """

    def __init__(self, tensors: dict[str, Tensor], discrete: int) -> None:
        self.tensors = tensors
        self.discrete = discrete

    def to(self, device: torch.device) -> Policies:
        """The same policies on a device."""
        return Policies({n: t.to(device) for n, t in self.tensors.items()}, self.discrete)

    @classmethod
    def fresh(
        cls, sources: int, inputs: int, discrete: int, width: int, generator: torch.Generator
    ) -> Policies:
        """Orthogonal weights; the policy's last layer is small, so that it starts undecided."""
        tensors = {}
        for name, outputs, last in (("policy", discrete or 1, 0.01), ("value", 1, 1.0)):
            sizes = (inputs, width, width, outputs)
            for i, gain in enumerate((math.sqrt(2), math.sqrt(2), last)):
                shape = (sources, sizes[i], sizes[i + 1])
                tensors[f"{name}_w{i}"] = gain * _orthogonal(shape, generator)
                tensors[f"{name}_b{i}"] = torch.zeros(
                    sources, 1, sizes[i + 1], device=generator.device
                )
        if not discrete:
            tensors["log_deviation"] = torch.full(
                (sources, 1), LOG_DEVIATION, device=generator.device
            )
        return cls(tensors, discrete)

    def __len__(self) -> int:
        return len(self.tensors["policy_w0"])

    def outputs(self, part: str, x: Tensor) -> Tensor:
        """``[sources, n, outputs]`` of inputs ``[sources, n, inputs]``; part is policy or value."""
        t = self.tensors
        for i in range(2):
            x = torch.baddbmm(t[f"{part}_b{i}"], x, t[f"{part}_w{i}"]).tanh()
        return torch.baddbmm(t[f"{part}_b2"], x, t[f"{part}_w2"])

    def values(self, x: Tensor) -> Tensor:
        """Expected returns ``[sources, n]``."""
        return self.outputs("value", x).squeeze(-1)

    def best(self, x: Tensor) -> Tensor:
        """The most probable actions ``[sources, n]``."""
        outputs = self.outputs("policy", x)
        return outputs.argmax(-1) if self.discrete else outputs.squeeze(-1)

    def sample(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Actions and their log probabilities, each ``[sources, n]``."""
        outputs = self.outputs("policy", x)
        if self.discrete:
            uniform = torch.rand(outputs.shape, generator=generator, device=outputs.device)
            action = (outputs - (-uniform.clamp_min(1e-20).log()).log()).argmax(-1)
        else:
            noise = torch.randn(outputs.shape[:-1], generator=generator, device=outputs.device)
            action = outputs.squeeze(-1) + self.tensors["log_deviation"].exp() * noise
        return action, self._log_probability(outputs, action)

    def judge(self, x: Tensor, action: Tensor) -> tuple[Tensor, Tensor]:
        """Log probabilities of actions, and the policy's entropy, each ``[sources, n]``."""
        outputs = self.outputs("policy", x)
        if self.discrete:
            logs = outputs.log_softmax(-1)
            entropy = -(logs.exp() * logs).sum(-1)
        else:
            entropy = self.tensors["log_deviation"] + 0.5 * math.log(2 * math.pi * math.e)
            entropy = entropy.expand(action.shape)
        return self._log_probability(outputs, action), entropy

    def _log_probability(self, outputs: Tensor, action: Tensor) -> Tensor:
        if self.discrete:
            return outputs.log_softmax(-1).gather(-1, action.unsqueeze(-1)).squeeze(-1)
        log_deviation = self.tensors["log_deviation"]
        z = (action - outputs.squeeze(-1)) / log_deviation.exp()
        return -0.5 * z.square() - log_deviation - 0.5 * math.log(2 * math.pi)

    def of(self, sources: slice | list[int]) -> Policies:
        """Some of the sources."""
        return Policies({name: t[sources] for name, t in self.tensors.items()}, self.discrete)


def _orthogonal(shape: tuple[int, int, int], generator: torch.Generator) -> Tensor:
    """Matrices with orthogonal rows or columns, whichever are fewer."""
    count, rows, columns = shape
    drawn = torch.randn(
        (count, max(rows, columns), min(rows, columns)),
        generator=generator,
        device=generator.device,
    )
    orthogonal, upper = torch.linalg.qr(drawn)
    orthogonal = orthogonal * upper.diagonal(dim1=1, dim2=2).sign()[:, None]
    square: Tensor = orthogonal if rows >= columns else orthogonal.mT
    return square.contiguous()
