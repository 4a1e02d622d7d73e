"""Everything that Hugging Face's `peft` has, by one bridge.

LoRA with its variants, IA3, prefix and prompt tuning, OFT, BOFT, VeRA, LoHa, LoKr, FourierFT, ...:
the type is `peft`'s own name for it, the knobs are those of its configuration class.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from torch import nn

from ....common.errors import (
    ArchitectureError,
    ConfigurationError,
    MissingLibraryError,
    unknown_name,
)
from ..handle import Handle, Site
from ..hooks import Hooks
from ..method import Method

UNFIT = {
    "CPT": "it is for causal language models with a head",
    "MULTITASK_PROMPT_TUNING": "it needs a task's number beside each input",
    "POLY": "it needs a task's number beside each input",
    "SHADOW": "it gives no hidden states",
    "TRAINABLE_TOKENS": "it tunes the embeddings of given tokens only",
    "XLORA": "it mixes adapters that are trained already",
}
"""Types that cannot be trained on features of a single input."""


def library(site: Site, *, type: str = "LORA", where: str = "qv", **knobs: Any) -> Handle:
    """A method of `peft`.

    Args:
        site: Where; ``layer_lo`` holds for methods that have target modules.
        type: A member of ``peft.PeftType``, in any case, for example ``"VERA"``.
        where: Which projections are targets, where the method has targets.
        **knobs: Of the method's configuration class, for example ``r=8``.

    Raises:
        MissingLibraryError: `peft` is not installed.
        UnknownNameError: It has no such type.
        ConfigurationError: It refuses the knobs.
        ArchitectureError: The backbone is not one that `peft` can wrap.
    """
    try:
        import peft
        from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING as CONFIGS
    except ImportError:
        raise MissingLibraryError(
            "method 'library' needs the package peft: pip install peft"
        ) from None
    names = {str(kind.value).upper(): kind for kind in CONFIGS}
    if type.upper() not in names:
        raise unknown_name("type of peft", type.upper(), names)
    if type.upper() in UNFIT:
        raise ConfigurationError(f"peft's {type.upper()} does not fit here: {UNFIT[type.upper()]}")
    config = _config(CONFIGS[names[type.upper()]], site, where, knobs)
    tokens = config.is_prompt_learning
    if tokens:
        site.need_tokens(type)
    flags = [(parameter, parameter.requires_grad) for parameter in site.model.parameters()]
    before = {id(module) for module in site.model.modules()}
    try:
        wrapped = peft.get_peft_model(site.model, config)
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        RuntimeError,
        NotImplementedError,
    ) as e:
        _unwrap(site.model)
        raise ArchitectureError(f"peft cannot put {type} on this backbone: {e}") from e
    added = nn.ParameterDict(
        {n.replace(".", "|"): p for n, p in wrapped.named_parameters() if p.requires_grad}
    )
    hooks = Hooks(site.model, site.arch)
    hooks.on_remove(lambda: _take_off(wrapped, site.model, tokens, flags))
    merge = _merging(wrapped, tokens)
    handle = LibraryHandle(site, added, hooks=hooks, runner=wrapped, merge=merge)
    handle.added = [module for module in wrapped.modules() if id(module) not in before]
    handle.train(False)
    return handle


class LibraryHandle(Handle):
    """A method of `peft`: its modules lie in the wrapped backbone, and its dropout with them."""

    added: Sequence[nn.Module] = ()

    def train(self, mode: bool = True) -> None:
        """Switch the dropout of what the library has added; the backbone's stays off."""
        super().train(mode)
        for module in self.added:
            module.training = mode  # not train(): that would reach the backbone's modules within


def _config(kind: Any, site: Site, where: str, knobs: dict[str, Any]) -> Any:
    from peft.config import PromptLearningConfig

    fields = getattr(kind, "__dataclass_fields__", {})
    given = dict(knobs)
    prompts = issubclass(kind, PromptLearningConfig)
    if "target_modules" in fields and not prompts:
        # Whole paths: a bare "dense" would hit BERT's pooler, too.
        targets = [path for layer in site.layers for path in layer.linears(where)]
        given.setdefault("target_modules", targets)
        if "feedforward_modules" in fields:
            given.setdefault("feedforward_modules", [p for p in targets if _feeds(site, p)])
    if prompts:
        given.setdefault("num_virtual_tokens", 10)
        given.setdefault("task_type", "FEATURE_EXTRACTION")
    try:
        return kind(**given)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"peft's {kind.__name__} refuses {knobs}: {error}") from error


def _feeds(site: Site, path: str) -> bool:
    return any(path in (*layer.up, layer.down) for layer in site.layers)


def _merging(wrapped: Any, tokens: bool) -> Callable[[], None] | None:
    tuner = wrapped.base_model
    if tokens or not hasattr(tuner, "merge_adapter"):
        return None

    def merge() -> None:
        try:
            tuner.merge_adapter()
        except (NotImplementedError, AttributeError, ValueError) as error:
            raise ArchitectureError(f"peft cannot merge this method: {error}") from error

    return merge


def _unwrap(model: nn.Module) -> None:
    """Unwrap what a failed attempt has wrapped already."""
    for name, module in list(model.named_modules()):
        base = getattr(module, "base_layer", None)
        if isinstance(base, nn.Module):
            model.set_submodule(name, base)


def _take_off(
    wrapped: Any, model: nn.Module, tokens: bool, flags: list[tuple[nn.Parameter, bool]]
) -> None:
    if not tokens:
        wrapped.base_model.unload()
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
    for name in ("peft_config", "_hf_peft_config_loaded"):
        if name in vars(model):
            delattr(model, name)


METHOD = Method("library", library, merges=None)
