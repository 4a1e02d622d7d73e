"""DAS: find the blocks that a task does not need, skip them, and put an adapter in their place.

Wu et al., *Parameter and Computation Efficient Transfer Learning for Vision-Language Pre-trained
Models* (NeurIPS 2023). Each block has a preference; during the first share of the training a few
blocks, drawn by preference, are skipped, and the loss says whether that was good (a k-armed
bandit). Then the k blocks with the highest preferences are skipped for good: the network has become
shorter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from optuna.distributions import IntDistribution
from torch import Tensor, nn

from ....common.errors import ArchitectureError
from ..bottleneck import Bottleneck, down_projection, up_projection
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import ADAPTER_RATES, Method, size

STEP = 0.5
"""How far one step's reward moves a preference."""
MEMORY = 0.9
"""Of the running mean of losses, against which a loss is good or bad."""


def das(site: Site, *, skip: int = 1, bottleneck: int = 64, search_share: float = 0.3) -> Handle:
    """Skip blocks.

    Args:
        site: Where; the first block always stays, as it may compute what later ones use.
        skip: k, how many.
        bottleneck: b of the adapters in their place.
        search_share: The share of all steps in which the bandit searches.
    """
    return SkippingHandle(site, skip, bottleneck, search_share)


class SkippingHandle(Handle):
    """Skips drawn blocks while it searches, then the preferred ones."""

    def __init__(self, site: Site, skip: int, bottleneck: int, search_share: float) -> None:
        hooks = Hooks(site.model, site.arch)
        lowest = max(site.lowest, 1)
        layers = site.arch.layers[lowest:]
        if len(layers) <= skip:
            raise ArchitectureError(
                f"'das' shall skip {skip} of the {len(layers)} blocks from {lowest} on: skip fewer"
            )
        modules = nn.ModuleDict({"adapters": nn.ModuleList()})
        modules.register_buffer("preferences", torch.zeros(len(layers)))
        modules.register_buffer("skipped", torch.zeros(len(layers), dtype=torch.bool))
        self.skip, self.search_share = skip, search_share
        self._mean: float | None = None
        self._searching = True
        adapters = modules["adapters"]
        assert isinstance(adapters, nn.ModuleList)
        rest: list[Any] = []
        hooks.module_output(site.arch.layers[lowest - 1].path, _noting(rest))
        for index, layer in enumerate(layers):
            adapters.append(
                adapter := Bottleneck(
                    down_projection(site.width, bottleneck), up_projection(bottleneck, site.width)
                )
            )
            hooks.forward(layer.path, _skipping(modules, index, adapter, rest))
        super().__init__(site, modules, hooks=hooks)
        # Until the search begins the lowest are skipped: that costs most, gradients reach that far.
        self._set(torch.arange(skip))

    def count(self) -> int:
        """How many numbers are used in the end: those of the adapters that stand in for blocks."""
        return super().count() * self.skip // len(self.skipped)

    @property
    def preferences(self) -> Tensor:
        """How redundant each block seems ``[blocks]``."""
        return torch.as_tensor(self.own.preferences)

    @property
    def skipped(self) -> Tensor:
        """Which blocks are skipped ``[blocks]`` bool."""
        return torch.as_tensor(self.own.skipped)

    def advance(self, progress: float, loss: float) -> bool:
        """Learn from the last step's loss; draw again, or settle."""
        if not self._searching:
            return False
        if progress > 0:
            self.learn(loss)
        if progress < self.search_share:
            self._draw()
            return False
        self._searching = False
        self._set(self.preferences.topk(self.skip).indices)
        return False

    def learn(self, loss: float) -> None:
        """Move the preferences of what was skipped by how much better than usual the loss is."""
        if self._mean is None:
            self._mean = loss
        reward = self._mean - loss
        chances = self.preferences.softmax(0)
        drawn = self.skipped.float() / self.skip
        self.preferences.add_(STEP * reward * (drawn - chances))
        self._mean = MEMORY * self._mean + (1 - MEMORY) * loss

    def _draw(self) -> None:
        self._set(torch.multinomial(self.preferences.softmax(0), self.skip))

    def _set(self, index: Tensor) -> None:
        self.skipped.zero_()
        self.skipped[index] = True


def _skipping(
    modules: nn.Module, index: int, adapter: nn.Module, rest: list[Any]
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A block's forward pass that is left out where it is skipped."""

    def make(whole: Callable[..., Any]) -> Callable[..., Any]:
        def forward(*args: Any, **options: Any) -> Any:
            if not modules.skipped[index]:  # type: ignore[index]
                return whole(*args, **options)
            x = args[0] if args else options["hidden_states"]
            x = x + adapter(x)
            return (x, *rest[0]) if rest else x

        return forward

    return make


def _noting(rest: list[Any]) -> Callable[[Any], Any]:
    """Keep in which form a block gives its states: alone or, with T5's positions or nothing beside
    them, in a tuple. A skipped block does likewise."""

    def note(output: Any) -> Any:
        rest[:] = [] if isinstance(output, Tensor) else [output[1:]]
        return output

    return note


METHOD = Method(
    "das",
    das,
    ranges={"skip": IntDistribution(1, 2), "bottleneck": size(8, 256)},
    rates=ADAPTER_RATES,
    ranged=False,
    rivals=({"skip": 1}, {"skip": 2}),
)
