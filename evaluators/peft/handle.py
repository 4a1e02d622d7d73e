"""A method on a backbone: what it trains, how it is taken off, merged, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from weakref import ReferenceType, WeakKeyDictionary, ref

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ...common.errors import ArchitectureError, DataError
from .arch import ArchSpec, LayerSpec, describe_architecture
from .hooks import Hooks
from .readout import Readout

State = dict[str, Tensor]
"""A method's own weights by name."""

Inputs = Mapping[str, Any]
"""A backbone's keyword arguments: ``input_ids`` and ``attention_mask`` ``[B, S]``, or
``pixel_values [B, channels, height, width]``."""


_attached: WeakKeyDictionary[nn.Module, list[ReferenceType[Handle]]] = WeakKeyDictionary()
"""The handles on each backbone, the last one on top of the others."""


@dataclass(frozen=True)
class Site:
    """Where a method is put.

    Attributes:
        model: The backbone.
        arch: Its map.
        lowest: The first block that the method may touch; those below stay as they are.
    """

    model: nn.Module
    arch: ArchSpec
    lowest: int = 0

    @classmethod
    def of(cls, model: nn.Module, lowest: int = 0) -> Site:
        """The site of a backbone.

        Raises:
            ArchitectureError: The backbone is not recognised, or has no such block.
        """
        arch = describe_architecture(model)
        if not 0 <= lowest < len(arch.layers):
            raise ArchitectureError(
                f"layer_lo is {lowest}: the backbone's blocks are 0 to {len(arch.layers) - 1}"
            )
        return cls(model, arch, lowest)

    @property
    def layers(self) -> tuple[LayerSpec, ...]:
        """The blocks that the method may touch."""
        return self.arch.layers[self.lowest :]

    @property
    def width(self) -> int:
        """Hidden size."""
        return self.arch.width

    def need_tokens(self, method: str) -> None:
        """Raise where the backbone takes no tokens."""
        if not self.arch.tokens:
            raise ArchitectureError(
                f"method {method!r} changes word embeddings, and {type(self.model).__name__} takes "
                "images: choose another method"
            )


class Handle:
    """A method attached to a backbone.

    Everything of the backbone is frozen but ``weights``. Modules of the method live here, not in
    the backbone.

    Args:
        site: Where the method is.
        own: The method's own modules.
        hooks: What is attached; made new where it is missing.
        weights: Weights of the backbone that are trained in place, by their names.
        readout: How hidden states become one vector; by default the last one's mean.
        merge: Writes the method into the backbone's weights; ``None`` where that is impossible.
        prompts: Positions that the method puts before the input's.
        runner: Called in the backbone's place where a library has wrapped it.
        rates: Factors of the learning rate by prefixes of the names in `own`.
    """

    decays = True
    """Whether weight decay may touch what is trained."""

    def __init__(
        self,
        site: Site,
        own: nn.Module | None = None,
        *,
        hooks: Hooks | None = None,
        weights: Mapping[str, nn.Parameter] | None = None,
        readout: Readout | None = None,
        merge: Callable[[], None] | None = None,
        prompts: int = 0,
        runner: nn.Module | None = None,
        rates: Mapping[str, float] | None = None,
    ) -> None:
        self.site = site
        device = next(site.model.parameters()).device
        self.own = (own or nn.Module()).to(device)
        self.hooks = Hooks(site.model, site.arch) if hooks is None else hooks
        self.weights = dict(weights or {})
        self.readout = (readout or Readout(site.arch)).to(device)
        self.prompts = prompts
        self.runner = runner or site.model
        self.rates = dict(rates or {})
        self._merge = merge
        self._ended = False
        self._flags = [(p, p.requires_grad) for p in site.model.parameters()]
        own_ids = {id(p) for p in self.own.parameters()}
        for parameter, _ in self._flags:
            if id(parameter) not in own_ids:
                parameter.requires_grad_(False)
        for parameter in self.weights.values():
            parameter.requires_grad_(True)
        self._before = {name: p.detach().clone() for name, p in self.weights.items()}
        self.leaves_backbone = not self.weights and not len(self.hooks)
        """Whether the backbone's states are what they are without the method: they may be kept."""
        self._states: list[Tensor] = []
        if self.readout.needs_states:
            self.hooks.states(self._states)
        _attached.setdefault(site.model, []).append(ref(self))

    def before(self, name: str) -> Tensor:
        """A weight of the backbone as it was before the training, where the weight is now."""
        return self._before[name].to(self.weights[name].device)

    # Using --------------------------------------------------------------------------------------

    def features(self, inputs: Inputs) -> Tensor:
        """One vector for each input, ``[B, readout.width]``."""
        features: Tensor = self.readout(self.states(inputs), inputs.get("attention_mask"))
        return features

    def states(self, inputs: Inputs) -> list[Tensor]:
        """What the readout reads: the last hidden states, or all ``L + 1``, ``[B, S, D]`` each."""
        last = self._run(inputs)
        mask = inputs.get("attention_mask")
        states = [*self._states[:-1], last] if self.readout.needs_states else [last]
        self._states.clear()
        return [state[:, self._surplus(state, mask) :] for state in states]

    def _run(self, inputs: Inputs) -> Tensor:
        if hasattr(self.site.model, "forward_features"):  # timm
            timm: Any = self.site.model
            last: Tensor = timm.forward_features(inputs["pixel_values"])
            return last
        output: Tensor = self.runner(**inputs).last_hidden_state
        return output

    def _surplus(self, state: Tensor, mask: Tensor | None) -> int:
        """How many positions before the input's own a state has: prompts are not pooled."""
        if mask is None:
            return 0 if self.site.arch.class_token else self.prompts
        return state.shape[1] - mask.shape[1]

    # Training -----------------------------------------------------------------------------------

    def named_parameters(self) -> Iterable[tuple[str, nn.Parameter]]:
        """What is trained, by name: the method's own weights, then the backbone's."""
        for name, parameter in [*self.own.named_parameters(), *self.readout.named_parameters()]:
            if parameter.requires_grad:
                yield name, parameter
        yield from self.weights.items()

    def trainable_parameters(self) -> list[nn.Parameter]:
        """What is trained."""
        return [parameter for _, parameter in self.named_parameters()]

    def groups(self, rate: float) -> list[dict[str, Any]]:
        """What is trained as an optimiser's groups, each with its learning rate.

        Vectors (biases, scales, normalisations) have no weight decay: a scale would decay to 0.
        """
        groups: dict[tuple[float, bool], list[nn.Parameter]] = {}
        for name, parameter in self.named_parameters():
            factor = next((f for prefix, f in self.rates.items() if name.startswith(prefix)), 1.0)
            decays = self.decays and parameter.ndim > 1
            groups.setdefault((factor, decays), []).append(parameter)
        return [
            {"params": params, "lr": rate * factor, **({} if decays else {"weight_decay": 0.0})}
            for (factor, decays), params in groups.items()
        ]

    def count(self) -> int:
        """How many numbers are trained, the head's not counted."""
        return sum(p.numel() for p in self.trainable_parameters())

    def train(self, mode: bool = True) -> None:
        """Switch the method's own dropout; the backbone's stays off."""
        self.own.train(mode)
        self.readout.train(mode)

    def advance(self, progress: float, loss: float) -> bool:
        """Called before each step, for methods that change on the way.

        Args:
            progress: The share of all steps that is done.
            loss: The last step's.

        Returns:
            Whether a fresh optimiser is needed, because what is trained has changed.
        """
        return False

    def regularise(self) -> Tensor | None:
        """A penalty that is added to the loss, where the method has one."""
        return None

    def after_backward(self, loss: Callable[[], Tensor]) -> None:
        """Called after each backward pass: gradients may be masked, or estimated from losses."""

    def finish(self) -> None:
        """Called after the last step, for methods that end otherwise than they train."""

    # Ending -------------------------------------------------------------------------------------

    def remove(self) -> None:
        """Take the method off: the backbone computes what it did before, bit for bit.

        Raises:
            ArchitectureError: Another method is on top of this one.
        """
        if self._ended:
            return
        self._check_on_top()
        with torch.no_grad():
            for name, parameter in self.weights.items():
                parameter.copy_(self._before[name])
        self._let_go()

    @property
    def mergeable(self) -> bool:
        """Whether `merge` is possible."""
        return self._merge is not None

    def merge(self) -> None:
        """Write the method into the backbone's weights and let go of it.

        Raises:
            ArchitectureError: The method computes what no weights of the backbone can, or another
                one is on top of it.
        """
        if self._ended:
            raise ArchitectureError("this method was taken off or merged: attach it anew")
        if self._merge is None:
            raise ArchitectureError(
                "this method cannot be merged into the backbone's weights: keep its handle"
            )
        self._check_on_top()
        with torch.no_grad():
            self._merge()
        self._let_go()

    def _check_on_top(self) -> None:
        # What was attached later has noted what it found: this method's hooks and flags.
        references = _attached.get(self.site.model, [])
        live = [handle for reference in references if (handle := reference()) is not None]
        if self in live[:-1]:
            raise ArchitectureError(
                "another method was attached to this backbone later: take that one off first"
            )

    def _let_go(self) -> None:
        self._ended = True
        references = _attached.get(self.site.model, [])
        _attached[self.site.model] = [
            reference for reference in references if reference() is not self
        ]
        for parameter, flag in self._flags:
            parameter.requires_grad_(flag)
        self.hooks.remove()  # last: a library has noted flags of its own before

    # Keeping ------------------------------------------------------------------------------------

    def state(self) -> State:
        """The method's own weights, and those of the backbone that it trains."""
        parts = {"own": self.own.state_dict(), "readout": self.readout.state_dict()}
        tensors = {f"{part}.{k}": v for part, state in parts.items() for k, v in state.items()}
        tensors |= {f"backbone.{name}": p.detach() for name, p in self.weights.items()}
        return {name: value.detach().clone().contiguous() for name, value in tensors.items()}

    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """Take over what `state` gave.

        Raises:
            DataError: It is of another method, other knobs or another backbone.
        """
        mine = self.state()
        wrong = [name for name in state if name not in mine]
        wrong += [n for n, v in mine.items() if n not in state or state[n].shape != v.shape]
        if wrong:
            raise DataError(
                f"the saved weights do not fit this method, for example {wrong[0]!r}: attach the "
                "method with the knobs and the backbone with which they were saved"
            )
        parts: dict[str, State] = {"own": {}, "readout": {}, "backbone": {}}
        for name, value in state.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = value
        self.own.load_state_dict(parts["own"])
        self.readout.load_state_dict(parts["readout"])
        with torch.no_grad():
            for name, value in parts["backbone"].items():
                self.weights[name].copy_(value)

    def save(self, path: str | Path) -> None:
        """Write `state` as one safetensors file."""
        save_file(self.state(), str(path))

    def load(self, path: str | Path) -> None:
        """Read what `save` wrote.

        Raises:
            DataError: It does not fit.
        """
        self.load_state(load_file(str(path)))
