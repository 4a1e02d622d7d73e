"""Maps of transformers: the paths of the modules that fine-tuning methods change.

A backbone is recognised by its structure, not by its class: a list of like blocks, in each an
attention with query, key and value (or one fused projection, as in timm and GPT-2) and an output
projection, and after it the two or three projections of a feed-forward network.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from ...common.errors import ArchitectureError

QUERY = {"q", "query", "q_proj", "q_lin", "query_proj", "wq"}
KEY = {"k", "key", "k_proj", "k_lin", "key_proj", "wk"}
VALUE = {"v", "value", "v_proj", "v_lin", "value_proj", "wv"}
FUSED = {"qkv", "c_attn", "Wqkv", "query_key_value", "qkv_proj", "in_proj"}
"""The last part of a projection's path says its role; these are the names in use."""


@dataclass(frozen=True)
class LayerSpec:
    """The parts of one block, as paths from the backbone.

    Attributes:
        path: The block.
        attention: The module that holds the query projection and computes the attention.
        query, key, value: Its projections; ``None`` where they are fused.
        fused: The one projection to query, key and value; ``None`` where there are three.
        output: The projection after the attention.
        up: The projections into the feed-forward network (two where it is gated).
        down: The projection out of it.
        norms: The block's normalisations.
    """

    path: str
    attention: str
    query: str | None
    key: str | None
    value: str | None
    fused: str | None
    output: str
    up: tuple[str, ...]
    down: str
    norms: tuple[str, ...]

    def linears(self, where: str) -> tuple[str, ...]:
        """The projections of one part of the block.

        Args:
            where: ``"qv"``, ``"attention"``, ``"ffn"`` or ``"all"``. A fused projection stands for
                what it fuses.
        """
        inputs = (self.fused,) if self.fused else (self.query, self.key, self.value)
        attention = (*(path for path in inputs if path), self.output)
        ffn = (*self.up, self.down)
        if where == "qv":
            return (self.fused,) if self.fused else (self.query or "", self.value or "")
        parts = {"attention": attention, "ffn": ffn, "all": attention + ffn}
        if where not in parts:
            raise ArchitectureError(
                f"unknown part {where!r} of a layer: use qv, attention, ffn or all"
            )
        return parts[where]

    @property
    def entry(self) -> str:
        """A projection that sees the attention's input."""
        return self.fused or self.query or ""


@dataclass(frozen=True)
class ArchSpec:
    """A backbone's map.

    Attributes:
        layers: Its blocks, from the input on.
        width: Hidden size.
        heads: Attention heads.
        inner: The width of all heads together; mostly the hidden size (not in T5).
        embeddings: The word embeddings; ``None`` for images.
        norms: Normalisations outside the blocks.
        tokens: Whether the input is token ids (else pixels).
        class_token: Whether the first position stands for the whole input (images).
    """

    layers: tuple[LayerSpec, ...]
    width: int
    heads: int
    inner: int
    embeddings: str | None
    norms: tuple[str, ...]
    tokens: bool
    class_token: bool


def describe_architecture(model: nn.Module) -> ArchSpec:
    """The map of a backbone.

    Args:
        model: A Hugging Face encoder or decoder without a head, or timm's vision transformer.

    Raises:
        ArchitectureError: No list of transformer blocks is found, or a block lacks a part.
    """
    blocks = _blocks(model)
    layers = tuple(_layer(path, block) for path, block in blocks)
    entry = model.get_submodule(layers[0].entry)
    embeddings = _word_embeddings(model)
    heads = _heads(model, layers[0])
    inside = tuple(f"{layer.path}." for layer in layers)
    return ArchSpec(
        layers=layers,
        width=size(entry)[0],
        heads=heads,
        inner=_inner(model, size(entry)[1], heads, fused=layers[0].fused is not None),
        embeddings=embeddings,
        norms=tuple(n for n, m in model.named_modules() if is_norm(m) and not n.startswith(inside)),
        tokens=embeddings is not None,
        class_token=any(n.endswith("cls_token") for n, _ in model.named_parameters()),
    )


def is_linear(module: nn.Module) -> bool:
    """A projection: PyTorch's, or GPT-2's with the weight the other way round."""
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def is_norm(module: nn.Module) -> bool:
    """A normalisation with weights, of whatever name."""
    return "Norm" in type(module).__name__ and any(True for _ in module.parameters(recurse=False))


def size(linear: nn.Module) -> tuple[int, int]:
    """(inputs, outputs) of a projection."""
    assert isinstance(linear.weight, nn.Parameter)
    rows, columns = linear.weight.shape
    return (columns, rows) if isinstance(linear, nn.Linear) else (rows, columns)


def _blocks(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """The first (outermost) list all of whose members hold an attention."""
    for path, module in model.named_modules():
        if isinstance(module, (nn.ModuleList, nn.Sequential)) and len(module):
            children = list(module.named_children())
            alike = len({type(child) for _, child in children}) == 1
            # In timm's mixtures of convolutions and attention the blocks lie deeper.
            whole = "." not in path or not hasattr(model, "forward_features")
            if whole and alike and all(_find(child, QUERY | FUSED) for _, child in children):
                return [(f"{path}.{name}", child) for name, child in children]
    raise ArchitectureError(
        f"{type(model).__name__} has no list of transformer blocks that Bequest recognises: give "
        "an encoder or decoder of Hugging Face, or a vision transformer of timm"
    )


def _find(module: nn.Module, names: set[str]) -> str | None:
    for path, part in module.named_modules():
        if is_linear(part) and path.rpartition(".")[2] in names:
            return str(path)
    return None


def _layer(path: str, block: nn.Module) -> LayerSpec:
    linears = [name for name, module in block.named_modules() if is_linear(module)]
    fused = _find(block, FUSED)
    query = None if fused else _find(block, QUERY)
    core = (fused or query or "").rpartition(".")[0]
    inner = [name for name in linears if name.startswith(_root(block, core))]
    inputs = [fused] if fused else [_within(core, inner, role) for role in (QUERY, KEY, VALUE)]
    outputs = [name for name in inner if name not in inputs]
    rest = [n for n in linears if n not in inner and "cross" not in n.lower()]
    if None in inputs or len(outputs) != 1 or len(rest) < 2:
        raise ArchitectureError(
            f"block {path!r} ({type(block).__name__}) has projections {', '.join(linears)}: "
            "query, key, value, one output and a feed-forward network of two or three are needed"
        )
    own_names = [name for name, _ in block.get_submodule(core).named_parameters(recurse=False)]
    if (
        fused and "q_bias" in own_names
    ):  # BEiT's: the projection's weights are used, it is never called
        raise ArchitectureError(
            f"the attention of block {path!r} ({type(block).__name__}) has biases of its own "
            f"({', '.join(own_names)}) and may not call its projection {fused!r}: take the same "
            "backbone of Hugging Face"
        )
    whole = [None if name is None else f"{path}.{name}" for name in inputs]
    query_path, key_path, value_path = (None, None, None) if fused else whole
    return LayerSpec(
        path=path,
        attention=f"{path}.{core}",
        query=query_path,
        key=key_path,
        value=value_path,
        fused=whole[0] if fused else None,
        output=f"{path}.{outputs[0]}",
        up=tuple(f"{path}.{name}" for name in rest[:-1]),
        down=f"{path}.{rest[-1]}",
        norms=tuple(f"{path}.{n}" for n, m in block.named_modules() if is_norm(m)),
    )


def _root(block: nn.Module, core: str) -> str:
    """The child of the block that holds the whole attention; one level deeper in lists (T5)."""
    parts = core.split(".")
    depth = 2 if isinstance(block.get_submodule(parts[0]), nn.ModuleList) else 1
    return ".".join(parts[:depth]) + "."


def _within(core: str, linears: list[str], role: set[str]) -> str | None:
    matching = (n for n in linears if n.rpartition(".")[0] == core and n.rpartition(".")[2] in role)
    return next(matching, None)


def _word_embeddings(model: nn.Module) -> str | None:
    getter = getattr(model, "get_input_embeddings", None)
    embeddings = getter() if callable(getter) else None
    if not isinstance(embeddings, nn.Embedding):
        return None
    named = model.named_modules(remove_duplicate=False)
    return next(str(name) for name, module in named if module is embeddings)


def _inner(model: nn.Module, outputs: int, heads: int, *, fused: bool) -> int:
    """The width of all heads together; a fused projection may have fewer of keys and values."""
    if not fused:
        return outputs
    others = getattr(getattr(model, "config", None), "num_key_value_heads", None) or heads
    return heads * (outputs // (heads + 2 * others))


def _heads(model: nn.Module, layer: LayerSpec) -> int:
    holders = (getattr(model, "config", None), model.get_submodule(layer.attention))
    for holder in holders:
        for name in ("num_attention_heads", "num_heads", "n_heads", "n_head"):
            value = getattr(holder, name, None)
            if isinstance(value, int):
                return value
    raise ArchitectureError(
        f"{type(model).__name__} does not say how many attention heads it has: set num_heads on "
        f"{layer.attention!r}"
    )
