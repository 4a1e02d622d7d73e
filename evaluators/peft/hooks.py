"""The five places at which a method may take hold of a backbone, and how it lets go again.

1. the output of a sublayer (attention or feed-forward network, before the residual sum),
2. a projection, 3. the input embeddings, 4. attention, 5. the list of hidden states.

Everything is a hook that is removed without a trace: no module of the backbone is replaced.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from .arch import ArchSpec, LayerSpec
from .attention import AttentionHook, hook_attention

Rewrite = Callable[[Tensor, Tensor], Tensor]
"""Takes (input, output) of a part of the backbone, gives the new output."""


class Hooks:
    """What one method has attached to one backbone.

    Args:
        model: The backbone.
        arch: Its map.
    """

    def __init__(self, model: nn.Module, arch: ArchSpec) -> None:
        self.model = model
        self.arch = arch
        self._undo: list[Callable[[], None]] = []

    def __len__(self) -> int:
        """How many things are attached."""
        return len(self._undo)

    def linear(self, path: str, rewrite: Rewrite) -> None:
        """Rewrite a projection's output ``[B, S, outputs]``."""

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return rewrite(inputs[0], output)

        self._undo.append(self.model.get_submodule(path).register_forward_hook(hook).remove)

    def change(self, path: str, by: Callable[[Tensor], Tensor]) -> None:
        """Add to a projection's output what a module makes of its input."""
        self.linear(path, lambda x, output: output + by(x))

    def linear_input(self, path: str, change: Callable[[Tensor], Tensor]) -> None:
        """Change a projection's input ``[B, S, inputs]``."""

        def hook(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            return (change(inputs[0]), *inputs[1:])

        self._undo.append(self.model.get_submodule(path).register_forward_pre_hook(hook).remove)

    def sublayer(self, layer: LayerSpec, place: str, rewrite: Rewrite) -> None:
        """Rewrite what a sublayer adds to the residual stream, ``[B, S, D]``.

        Args:
            layer: The block.
            place: ``"attention"`` or ``"ffn"``.
            rewrite: Takes the sublayer's input and its output.
        """
        first, last = (
            (layer.entry, layer.output) if place == "attention" else (layer.up[0], layer.down)
        )
        seen: list[Tensor] = []

        def note(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            seen[:] = [inputs[0]]

        def hook(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
            return rewrite(seen.pop(), output)

        self._undo.append(self.model.get_submodule(first).register_forward_pre_hook(note).remove)
        self._undo.append(self.model.get_submodule(last).register_forward_hook(hook).remove)

    def module_output(self, path: str, change: Callable[[Any], Any]) -> None:
        """Change what any module gives."""

        def hook(module: nn.Module, inputs: Any, output: Any) -> Any:
            return change(output)

        self._undo.append(self.model.get_submodule(path).register_forward_hook(hook).remove)

    def block_input(self, path: str, change: Callable[[Tensor], Tensor]) -> None:
        """Change the hidden states that enter a block, ``[B, S, D]``."""

        def hook(module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
            if args:
                return (change(args[0]), *args[1:]), options
            return args, {**options, "hidden_states": change(options["hidden_states"])}

        block = self.model.get_submodule(path)
        self._undo.append(block.register_forward_pre_hook(hook, with_kwargs=True).remove)

    def inputs(self, change: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Change the backbone's keyword arguments, for example ids into embeddings."""

        def hook(module: nn.Module, args: Any, options: dict[str, Any]) -> Any:
            return args, change(options)

        self._undo.append(self.model.register_forward_pre_hook(hook, with_kwargs=True).remove)

    def attention(self, layer: LayerSpec, hook: AttentionHook) -> None:
        """Compute a block's attention in another way; see `attention.Attention`."""
        self._undo.append(hook_attention(self.model, layer, hook))

    def forward(self, path: str, make: Callable[[Callable[..., Any]], Callable[..., Any]]) -> None:
        """Put another forward pass before a module; ``make`` takes the present one."""
        module = self.model.get_submodule(path)
        before = vars(module).get("forward")
        module.forward = make(module.forward)

        def undo() -> None:
            del module.forward
            if before is not None:
                module.forward = before

        self._undo.append(undo)

    def states(self, into: list[Tensor]) -> None:
        """Keep the hidden states of each pass: the first block's input, each block's output."""

        def begin(module: nn.Module, args: tuple[Any, ...], options: dict[str, Any]) -> None:
            into[:] = [args[0] if args else options["hidden_states"]]

        def note(module: nn.Module, inputs: Any, output: Any) -> None:
            into.append(first(output))

        blocks = [self.model.get_submodule(layer.path) for layer in self.arch.layers]
        # Last of all: what other hooks have made of a block's input is what the block has seen.
        hook = blocks[0].register_forward_pre_hook(begin, with_kwargs=True)
        self._undo.append(hook.remove)
        self._undo.extend(block.register_forward_hook(note).remove for block in blocks)

    def on_remove(self, undo: Callable[[], None]) -> None:
        """Something more to do when the method is taken off."""
        self._undo.append(undo)

    def remove(self) -> None:
        """Let go of the backbone: it computes what it computed before, bit for bit."""
        while self._undo:
            self._undo.pop()()


def first(output: Any) -> Tensor:
    """The hidden states in what a block gives: alone, or the first of several."""
    states: Tensor = output if isinstance(output, Tensor) else output[0]
    return states
