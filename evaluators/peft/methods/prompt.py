"""Prompt tuning: learned positions before the input's own, fresh or from another task.

Lester et al. (EMNLP 2021), Jia et al., *Visual Prompt Tuning* (ECCV 2022); prompt transfer after
Zhong et al., *PANDA* (2022).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from ....common.errors import ConfigurationError
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import PROMPT_RATES, Method, size
from ..prompting import attach_prompt, initial_prompt


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
    positions = attach_prompt(site, hooks, length, start=start)
    if source is not None and distil:
        return DistilledPrompt(site, positions, hooks, start, distil)
    return Handle(site, positions, hooks=hooks, prompts=length)


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
        features = super().features(inputs)
        if torch.is_grad_enabled():
            positions = self.own.positions
            assert isinstance(positions, nn.Parameter)
            learned = positions.data
            positions.data = self.source.to(learned)
            with torch.no_grad():
                teacher = super().features(inputs)
            positions.data = learned
            self._distance = (features - teacher).square().mean()
        return features

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


METHOD = Method(
    "prompt",
    prompt,
    ranges={"length": size(2, 64)},
    rates=PROMPT_RATES,
    ranged=False,
    prompt="length",
)
