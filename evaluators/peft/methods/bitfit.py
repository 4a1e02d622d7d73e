"""BitFit: biases alone. Ben Zaken et al. (ACL 2022)."""

from __future__ import annotations

from ....common.errors import ArchitectureError
from ..handle import Handle, Site
from ..method import BIAS_RATES, Method
from ..weights import inside, tune


def bitfit(site: Site) -> Handle:
    """The biases of the blocks.

    Args:
        site: Where.

    Raises:
        ArchitectureError: There are no biases (T5, Llama).
    """
    biases = [n for n, _ in site.model.named_parameters() if n.endswith("bias")]
    if not any(inside(site, name) for name in biases):
        raise ArchitectureError(
            f"{type(site.model).__name__} has no biases: use 'layernorm' or 'ia3' instead"
        )
    return tune(site, lambda name: name.endswith(".bias") and inside(site, name))


METHOD = Method("bitfit", bitfit, ranges={}, rates=BIAS_RATES, searched=True, merges=True)
