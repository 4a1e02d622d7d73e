"""DePT: a short prompt and a low-rank change of the input's embeddings.

Shi and Lipani, *DePT: Decomposed Prompt Tuning* (ICLR 2024): ``E + A B`` with ``A [S, r]``, ``B [r,
D]`` (D of the word embeddings, in ELECTRA less than the hidden size), learned at a rate of its own;
the sequence grows by fewer positions than with a plain prompt.
"""

from __future__ import annotations

import torch
from optuna.distributions import FloatDistribution
from torch import Tensor, nn

from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import PROMPT_RATES, Method, size
from ..prompting import attach_prompt


def dept(
    site: Site,
    *,
    length: int = 8,
    rank: int = 8,
    positions: int = 128,
    rate_ratio: float = 0.1,
) -> Handle:
    """A prompt and a low-rank change.

    Args:
        site: Where; for tokens only.
        length: m, the prompt's length.
        rank: r.
        positions: How many positions of the input are changed; later ones stay as they are.
        rate_ratio: The learning rate of A and B, in parts of the prompt's.
    """
    site.need_tokens("dept")
    hooks = Hooks(site.model, site.arch)
    words = site.model.get_submodule(site.arch.embeddings or "")
    assert isinstance(words, nn.Embedding)
    low_rank = nn.ParameterDict(
        {
            "a": nn.Parameter(torch.randn(positions, rank) / rank**0.5),
            "b": nn.Parameter(torch.zeros(rank, words.embedding_dim)),
        }
    )

    def change(embedded: Tensor) -> Tensor:
        count = min(embedded.shape[1], positions)
        delta = low_rank["a"][:count] @ low_rank["b"]
        return embedded + nn.functional.pad(delta, (0, 0, 0, embedded.shape[1] - count))

    prompt = attach_prompt(site, hooks, length, change)
    modules = nn.ModuleDict({"prompt": prompt, "low_rank": low_rank})
    return Handle(site, modules, hooks=hooks, prompts=length, rates={"low_rank": rate_ratio})


METHOD = Method(
    "dept",
    dept,
    ranges={
        "length": size(2, 32),
        "rank": size(2, 32),
        "rate_ratio": FloatDistribution(1e-3, 1.0, log=True),
    },
    rates=PROMPT_RATES,
    ranged=False,
    searched=True,
    free=frozenset({"rate_ratio"}),
    prompt="length",
)
