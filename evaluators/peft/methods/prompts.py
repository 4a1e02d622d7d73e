"""Prompts: learned positions before the input's own; with or without gradients, fresh or inherited.

Lester et al. (EMNLP 2021), Jia et al., *Visual Prompt Tuning* (ECCV 2022); prompt transfer after
Zhong et al., *PANDA* (2022); black-box prompts after Oh et al., *BlackVIP* (CVPR 2023).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any

import torch
from torch import Tensor, nn

from ....common.errors import ArchitectureError, ConfigurationError
from ..handle import Handle, Site
from ..hooks import Hooks
from ..spsa import Spsa

FIXED = {"rope", "rel_pos_bias", "relative_position_bias"}
"""Modules, by name, that give attention a position for every patch (timm's DINOv3, BEiT)."""


class Prompt(nn.Module):
    """``m`` positions ``[m, D]``."""

    def __init__(self, start: Tensor) -> None:
        super().__init__()
        self.positions = nn.Parameter(start.clone())

    def forward(self, batch: int) -> Tensor:
        """``[batch, m, D]``."""
        return self.positions.repeat(batch, 1, 1)


def prompt(
    site: Site,
    *,
    length: int = 10,
    source: Mapping[str, Tensor] | None = None,
    distil: float = 0.0,
) -> Handle:
    """A prompt before the input (after the class token of an image).

    Args:
        site: Where.
        length: m.
        source: The state of a prompt for another task, to start from.
        distil: How strongly the features are held to those that the source prompt gives (PANDA).

    Raises:
        ConfigurationError: The source has another length or width.
    """
    hooks = Hooks(site.model, site.arch)
    start = initial_prompt(site, length)
    if source is not None:
        given = source.get("own.positions")
        if given is None or given.shape != start.shape:
            has = "none" if given is None else list(given.shape)
            raise ConfigurationError(
                f"the source's prompt is {has}, and {list(start.shape)} is asked for: give the "
                "state of method 'prompt' of the same length on the same backbone"
            )
        start = given
    own = attach_prompt(site, hooks, length, start=start)
    if source is not None and distil:
        return DistilledPrompt(site, own, hooks, start, distil)
    return Handle(site, own, hooks=hooks, prompts=length)


def black_box_prompt(
    site: Site, *, length: int = 4, inner: int = 64, perturbation: float = 0.05
) -> Handle:
    """A prompt that is learned from losses alone: two forward passes a step, no backward pass.

    The prompt is a fixed random projection of a few numbers, which SPSA moves.

    Args:
        site: Where.
        length: m.
        inner: How many numbers are learned.
        perturbation: c, how far SPSA steps to both sides.
    """
    hooks = Hooks(site.model, site.arch)
    own = ProjectedPrompt(initial_prompt(site, length), inner)
    _insert(site, hooks, own, None)
    return BlackBox(site, own, hooks, length, perturbation)


class ProjectedPrompt(nn.Module):
    """``start + R z`` with a fixed random R; z begins at 0."""

    def __init__(self, start: Tensor, inner: int) -> None:
        super().__init__()
        self.inner = nn.Parameter(torch.zeros(inner))
        self.register_buffer("start", start)
        spread = start.std() / inner**0.5
        self.register_buffer("projection", spread * torch.randn(*start.shape, inner))

    def forward(self, batch: int) -> Tensor:
        """``[batch, m, D]``."""
        positions = torch.as_tensor(self.start) + torch.as_tensor(self.projection) @ self.inner
        return positions.expand(batch, -1, -1)


class BlackBox(Handle):
    """Features without a graph; the gradient is estimated after each backward pass of the head."""

    def __init__(
        self, site: Site, own: nn.Module, hooks: Hooks, length: int, perturbation: float
    ) -> None:
        super().__init__(site, own, hooks=hooks, prompts=length)
        self.estimator = Spsa(list(own.parameters()), perturbation=perturbation)

    def features(self, inputs: Mapping[str, Any]) -> Tensor:
        """``[B, D]``, a constant: the backbone might be a service elsewhere."""
        with torch.no_grad():
            return super().features(inputs)

    def after_backward(self, loss: Callable[[], Tensor]) -> None:
        """Estimate the prompt's gradient by two losses."""
        self.estimator.estimate(loss)


class DistilledPrompt(Handle):
    """A prompt whose features are held to the source prompt's."""

    def __init__(
        self, site: Site, own: nn.Module, hooks: Hooks, source: Tensor, weight: float
    ) -> None:
        super().__init__(site, own, hooks=hooks, prompts=source.shape[0])
        self.source, self.weight = source, weight
        self._distance: Tensor | None = None

    def features(self, inputs: Mapping[str, Any]) -> Tensor:
        """``[B, D]``; the distance to the teacher's is kept for `regularise`."""
        found = super().features(inputs)
        if torch.is_grad_enabled():
            positions = self.own.positions
            assert isinstance(positions, nn.Parameter)
            kept = positions.data
            positions.data = self.source.to(kept)
            with torch.no_grad():
                teacher = super().features(inputs)
            positions.data = kept
            self._distance = (found - teacher).square().mean()
        return found

    def regularise(self) -> Tensor | None:
        """The mean squared distance, weighted."""
        return None if self._distance is None else self.weight * self._distance


def prompt_similarity(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> float:
    """How alike two prompts are: the cosine of their mean positions, in [-1, 1]."""
    means = [state["own.positions"].mean(dim=0) for state in (first, second)]
    return float(nn.functional.cosine_similarity(means[0], means[1], dim=0))


def choose_source(
    target: Mapping[str, Tensor], sources: Mapping[str, Mapping[str, Tensor]]
) -> tuple[str, float]:
    """The source task whose prompt is most like a shortly trained prompt of the target.

    Args:
        target: The state of the target's prompt.
        sources: States of prompts by task.

    Returns:
        The task's name and the similarity.
    """
    scores = {name: prompt_similarity(target, state) for name, state in sources.items()}
    best = max(scores, key=lambda name: scores[name])
    return best, scores[best]


# Where a prompt goes in ---------------------------------------------------------------------------


def initial_prompt(site: Site, length: int) -> Tensor:
    """Positions ``[m, D]``: embeddings of drawn words, or small noise before images."""
    if site.arch.embeddings is None:
        return 0.02 * torch.randn(length, site.width)
    words = site.model.get_submodule(site.arch.embeddings).weight
    assert isinstance(words, Tensor)
    return words.detach()[torch.randint(len(words), (length,))].clone()


def attach_prompt(
    site: Site,
    hooks: Hooks,
    length: int,
    change: Callable[[Tensor], Tensor] | None = None,
    start: Tensor | None = None,
) -> Prompt:
    """Put a new prompt before the input; ``change`` rewrites the input's own embeddings."""
    made = Prompt(initial_prompt(site, length) if start is None else start)
    _insert(site, hooks, made, change)
    return made


def _insert(
    site: Site, hooks: Hooks, prompt: nn.Module, change: Callable[[Tensor], Tensor] | None
) -> None:
    name = type(site.model).__name__
    if site.arch.embeddings is not None:
        if "inputs_embeds" not in signature(site.model.forward).parameters:
            raise ArchitectureError(
                f"{name} takes word ids alone, no embeddings that a prompt could go before: use "
                "'prefix' instead"
            )
        hooks.inputs(_before_words(site, prompt, change))
        return
    if any(path.rpartition(".")[2] in FIXED for path, _ in site.model.named_modules()):
        raise ArchitectureError(
            f"the attention of {name} knows the place of each patch, and a prompt has none: use "
            "'prefix' instead"
        )

    def insert(states: Tensor) -> Tensor:
        edge = 1 if site.arch.class_token else 0  # the class token stays first
        return torch.cat([states[:, :edge], prompt(len(states)), states[:, edge:]], dim=1)

    hooks.block_input(site.arch.layers[0].path, insert)


def _before_words(
    site: Site, prompt: nn.Module, change: Callable[[Tensor], Tensor] | None
) -> Callable[[dict[str, Any]], dict[str, Any]]:
    words = site.model.get_submodule(site.arch.embeddings or "")

    def rewrite(inputs: dict[str, Any]) -> dict[str, Any]:
        rest = dict(inputs)
        embedded = words(rest.pop("input_ids"))
        if change is not None:
            embedded = change(embedded)
        made = prompt(len(embedded))
        rest["inputs_embeds"] = torch.cat([made, embedded], dim=1)
        for name, fill in (("attention_mask", 1), ("token_type_ids", 0)):
            if rest.get(name) is not None:
                rest[name] = nn.functional.pad(rest[name], (made.shape[1], 0), value=fill)
        return rest

    return rewrite
