"""Every method of the registry on every kind of backbone, and each method's exact small cases."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from bequest.common.errors import (
    ArchitectureError,
    ConfigurationError,
    DataError,
    UnknownNameError,
)
from bequest.evaluators.peft import METHODS, attach
from bequest.evaluators.peft.merging import difference, merge_deltas, ties
from bequest.evaluators.peft.methods.compacter import KroneckerLinear
from bequest.evaluators.peft.methods.p_adapter import p_laplacian
from bequest.evaluators.peft.methods.prompt import choose_source
from bequest.evaluators.peft.methods.sparse import apply_difference, compose
from bequest.evaluators.peft.spsa import Spsa
from bequest.testing.peft_methods import MethodSuite, train
from tests.evaluators.peft.backbones import (
    UNFIT,
    make_backbone,
    make_inputs,
    needed,
    outputs,
    put,
)

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")


class TestMethods(MethodSuite):
    @pytest.fixture(params=sorted(METHODS))
    def method(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    @pytest.fixture(params=["bert", "t5", "llama", "timm"])
    def kind(self, request: pytest.FixtureRequest) -> Any:
        return request.param

    @pytest.fixture
    def model(self, kind: str) -> nn.Module:
        return make_backbone(kind)

    @pytest.fixture
    def inputs(self, kind: str) -> dict[str, Tensor]:
        return make_inputs(kind)

    @pytest.fixture
    def knobs(self, method: str, model: nn.Module) -> dict[str, Any]:
        return needed(method, model)

    @pytest.fixture
    def fits(self, method: str, kind: str) -> bool:
        return (method, kind) not in UNFIT


@pytest.mark.parametrize("method", ["adapter", "lora", "prefix", "vqt", "lst", "das", "apt"])
@pytest.mark.parametrize("kind", ["gpt2", "vit"])
def test_other_backbones(method: str, kind: str) -> None:
    model, inputs = make_backbone(kind), make_inputs(kind)
    before = outputs(model, inputs)
    handle = put(method, model)
    train(handle, inputs, steps=3)
    handle.remove()
    assert torch.equal(outputs(model, inputs), before)


@pytest.mark.parametrize("kind", ["phi3", "neox", "electra"])
@pytest.mark.parametrize("method", ["prefix", "mam", "dept", "apt", "lora", "adapter", "vqt"])
def test_projections_and_embeddings_of_other_shapes(method: str, kind: str) -> None:
    """Fewer heads of keys than of queries in one projection; narrow word embeddings."""
    model, inputs = make_backbone(kind), make_inputs(kind)
    before = outputs(model, inputs)
    if (method, kind) == ("vqt", "neox"):
        with pytest.raises(ArchitectureError, match="mixes queries, keys and values head by head"):
            attach(model, method)
        return
    handle = put(method, model)
    train(handle, inputs, steps=2)
    handle.remove()
    assert torch.equal(outputs(model, inputs), before)


# Counts -------------------------------------------------------------------------------------------

D, F, L = 32, 64, 4
COUNTS = {
    "probe": 0,
    "lora": L * 2 * 8 * (D + D),
    "ia3": L * (D + D + F),
    "bitfit": L * (4 * D + F + D + 2 * D),
    "layernorm": L * 4 * D,
    "prefix": L * 2 * 10 * D,
    "prompt": 10 * D,
    "dept": 8 * D + 128 * 8 + 8 * D,
    "apt": L * (16 * 8 + 2 * 8 * D),
    "vqt": L * 4 * D,
    "petalface": L * 2 * (2 * 8 * 2 * D + D),
    "black-box-prompt": 64,
}


@pytest.mark.parametrize("method", COUNTS)
def test_trains_as_many_numbers_as_its_formula_says(method: str) -> None:
    assert attach(make_backbone("bert"), method).count() == COUNTS[method]


@pytest.mark.parametrize("layers", [1, 2, L, L + 3])
def test_the_last_blocks_are_tuned_and_no_embeddings(layers: int) -> None:
    block = 4 * (D * D + D) + (D * F + F) + (F * D + D) + 2 * 2 * D
    handle = attach(make_backbone("bert"), "top-k", layers=layers)
    assert handle.count() == min(layers, L) * block
    assert not any("embeddings" in name for name in handle.weights)


def test_shared_projections_are_counted_once() -> None:
    def count(share: str) -> int:
        return attach(make_backbone("bert"), "adapter", bottleneck=8, share=share).count()

    each = D * 8 + 8, 8 * D + D
    assert count("none") == L * sum(each)
    assert count("down") == each[0] + L * each[1]
    assert count("both") == sum(each)


def test_the_lowest_layer_is_respected() -> None:
    names = [n for n, _ in attach(make_backbone("bert"), "bitfit", layer_lo=2).named_parameters()]
    assert names
    assert all(name.startswith(("encoder.layer.2", "encoder.layer.3")) for name in names)


# Errors -------------------------------------------------------------------------------------------


def test_an_unknown_method_is_named() -> None:
    with pytest.raises(UnknownNameError, match="did you mean 'lora'"):
        attach(make_backbone("bert"), "lroa")


def test_an_unknown_knob_is_named() -> None:
    with pytest.raises(ConfigurationError, match="'lora' has no knob 'r': it has rank"):
        attach(make_backbone("bert"), "lora", r=8)


def test_a_model_without_blocks_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="no list of transformer blocks"):
        attach(nn.Sequential(nn.Linear(4, 4)), "lora")


def test_a_layer_that_is_not_there_is_refused() -> None:
    with pytest.raises(ArchitectureError, match="layer_lo is 4: the backbone's blocks are 0 to 3"):
        attach(make_backbone("bert"), "lora", layer_lo=4)


# The library --------------------------------------------------------------------------------------

TYPES = ["LORA", "IA3", "PREFIX_TUNING", "PROMPT_TUNING", "OFT", "VERA", "LOHA", "HRA", "LN_TUNING"]


@pytest.mark.parametrize("type", TYPES)
def test_the_bridge_trains_and_lets_go(type: str) -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    before = outputs(model, inputs)
    handle = attach(model, "library", type=type)
    _, reached = train(handle, inputs, steps=4)
    assert reached
    handle.remove()
    assert torch.equal(outputs(model, inputs), before)


def test_the_bridge_leaves_a_backbone_whole_when_the_library_refuses() -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    before = outputs(model, inputs)
    with pytest.raises(ArchitectureError, match="peft cannot put C3A"):
        attach(model, "library", type="C3A")
    assert torch.equal(outputs(model, inputs), before)


def test_a_library_type_that_cannot_work_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="task's number"):
        attach(make_backbone("bert"), "library", type="POLY")


def _copy(target: list[nn.Parameter], source: list[Tensor]) -> None:
    with torch.no_grad():
        for mine, theirs in zip(target, source, strict=True):
            mine.copy_(theirs)


@pytest.mark.parametrize("where", ["qv", "all"])
def test_lora_agrees_with_peft(where: str) -> None:
    inputs = make_inputs("bert")
    theirs = attach(make_backbone("bert"), "library", type="LORA", r=4, lora_alpha=8, where=where)
    for parameter in theirs.trainable_parameters():
        nn.init.normal_(parameter, std=0.2)
    ours = attach(make_backbone("bert"), "lora", rank=4, alpha=2.0, where=where)
    _copy(ours.trainable_parameters(), [p.detach() for p in _in_our_order(theirs, ours)])
    assert torch.allclose(ours.features(inputs), theirs.features(inputs), atol=1e-6)


def _in_our_order(theirs: Any, ours: Any) -> list[Tensor]:
    """peft's pairs (A, B) by the paths of our projections."""
    named = {n.replace("|", "."): p for n, p in theirs.named_parameters()}
    where = "all" if len(named) > 16 else "qv"
    paths = [path for layer in ours.site.layers for path in layer.linears(where)]
    found = []
    for path in paths:
        for part in ("lora_A", "lora_B"):
            found += [p for n, p in named.items() if f".{path}.{part}." in n]
    return found


def test_ia3_agrees_with_peft() -> None:
    inputs = make_inputs("bert")
    ours = attach(make_backbone("bert"), "ia3")
    targets = [path for layer in ours.site.layers for path in (layer.key, layer.value, layer.down)]
    downs = [layer.down for layer in ours.site.layers]
    theirs = attach(
        make_backbone("bert"),
        "library",
        type="IA3",
        target_modules=targets,
        feedforward_modules=downs,
    )
    named = {n.replace("|", "."): p for n, p in theirs.named_parameters()}
    for parameter in named.values():
        nn.init.normal_(parameter, mean=1.0, std=0.2)
    order = [p for layer in ours.site.layers for p in (layer.key, layer.value)] + downs
    values = [next(p for n, p in named.items() if f".{path}." in n) for path in order]
    _copy(ours.trainable_parameters(), [value.detach().flatten() for value in values])
    assert torch.allclose(ours.features(inputs), theirs.features(inputs), atol=1e-6)


def test_prefixes_agree_with_peft() -> None:
    inputs = make_inputs("bert")
    theirs = attach(make_backbone("bert"), "library", type="PREFIX_TUNING", num_virtual_tokens=5)
    (embedding,) = theirs.trainable_parameters()  # [m, layers * 2 * D], key before value
    ours = attach(make_backbone("bert"), "prefix", length=5)
    parts = embedding.detach().view(5, L, 2, D).permute(1, 2, 0, 3).reshape(-1, 5, D)
    _copy(ours.trainable_parameters(), list(parts))
    # peft shifts the positions of the words by the prefix; ours leaves them where they are.
    shifted = {**inputs, "position_ids": torch.arange(5, 12).expand(3, -1)}
    assert torch.allclose(ours.features(shifted), theirs.features(inputs), atol=1e-6)


# Exact small cases --------------------------------------------------------------------------------


def test_kronecker_weights_are_kronecker_products() -> None:
    rule = nn.Parameter(torch.randn(2, 2, 2))
    layer = KroneckerLinear(6, 4, rule, rank=1)
    wanted = sum(torch.kron(rule[i], layer.left[i] @ layer.right[i]) for i in range(2))
    assert torch.allclose(layer.weight(), torch.as_tensor(wanted), atol=1e-6)


def test_two_is_plain_attention_for_the_p_laplacian() -> None:
    weights, value = torch.rand(1, 2, 3, 3).softmax(-1), torch.randn(1, 2, 3, 4)
    output = weights @ value
    assert torch.allclose(p_laplacian(weights, output, value, 2.0, 0.7), output, atol=1e-6)


def test_a_small_p_turns_to_neighbours_that_are_alike() -> None:
    weights, value = torch.full((1, 1, 1, 2), 0.5), torch.tensor([[[[0.0], [3.0]]]])
    output = torch.tensor([[[[1.0]]]])  # nearer to the first value
    assert p_laplacian(weights, output, value, 1.0, 0.0).item() == pytest.approx(1.0, abs=0.01)
    assert p_laplacian(weights, output, value, 3.0, 0.0).item() == pytest.approx(2.0, abs=0.01)


def test_ties_on_a_worked_example() -> None:
    # Kept of each: the two largest of four. Signs elected by the sum: +, -, +, 0.
    first = {"w": torch.tensor([4.0, -3.0, 0.5, 0.1])}
    second = {"w": torch.tensor([2.0, 0.2, 3.0, 0.1])}
    third = {"w": torch.tensor([-3.0, -1.0, 0.0, -2.0])}
    merged = ties([first, second, third], density=0.5, scale=2.0)["w"]
    # Entry 0: 4 + 2 - 3 > 0, mean of 4 and 2. Entry 3: only -2 is left.
    assert merged.tolist() == [6.0, -6.0, 6.0, -4.0]


def test_merging_one_difference_gives_it_back() -> None:
    delta = difference({"w": torch.tensor([3.0])}, {"w": torch.tensor([1.0])})
    assert merge_deltas([delta])["w"].item() == 2.0
    assert ties([delta], density=1.0)["w"].item() == 2.0
    with pytest.raises(DataError, match="not of the same weights"):
        merge_deltas([delta, {"v": torch.zeros(1)}])


def test_spsa_finds_the_gradient_of_a_quadratic() -> None:
    torch.manual_seed(0)
    x = nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    curvature = torch.tensor([1.0, 2.0, 3.0])
    estimator = Spsa([x], perturbation=0.1, momentum=0.0)
    total = torch.zeros(3)
    for _ in range(4000):
        estimator.estimate(lambda: (0.5 * curvature * x * x).sum())
        assert x.grad is not None
        total += x.grad / 4000
    # Central differences are exact on a quadratic; what is left is the mean of the signs' noise.
    assert torch.allclose(total, curvature * x.detach(), atol=0.25)


def test_sparse_differences_add() -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    states = []
    for seed in (0, 1):
        handle = attach(model, "sparse", density=0.02)
        inputs["input_ids"] = (inputs["input_ids"] + 7 * seed) % 50
        train(handle, inputs, steps=6)
        states.append(handle.state())
        handle.remove()
    both = compose(states)
    weights = dict(model.named_parameters())
    before = {n: p.detach().clone() for n, p in weights.items()}
    apply_difference(weights, both)
    together = {n: p.detach().clone() for n, p in weights.items()}
    for n, p in weights.items():
        p.data.copy_(before[n])
    for state in states:
        apply_difference(weights, state)
    assert all(torch.allclose(p, together[n], atol=1e-7) for n, p in weights.items())


def test_sparse_tuning_moves_only_its_share() -> None:
    handle = put("sparse", make_backbone("bert"))
    train(handle, make_inputs("bert"), steps=8)
    moved = sum(len(v) for k, v in handle.state().items() if k.endswith(".index"))
    assert 0 < moved <= handle.count()


def test_a_sparse_training_of_one_step_is_sparse() -> None:
    handle = put("sparse", make_backbone("bert"))
    train(handle, make_inputs("bert"), steps=1)
    before = {name: p.detach().clone() for name, p in handle.weights.items()}
    handle.finish()
    moved = sum(len(v) for k, v in handle.state().items() if k.endswith(".index"))
    assert 0 < moved <= handle.count()
    for name, value in handle.state().items():
        weight, _, kind = name.rpartition(".")
        if kind == "index":  # what is kept has moved as far as it had
            assert torch.equal(
                handle.weights[weight].flatten()[value], before[weight].flatten()[value]
            )


def test_learned_scales_do_not_decay() -> None:
    handle = put("scalearn", make_backbone("bert"))
    assert [group["weight_decay"] for group in handle.groups(0.1)] == [0.0]
    rates = [
        (group["lr"], group.get("weight_decay"))
        for group in put("dept", make_backbone("bert")).groups(0.1)
    ]
    assert len({rate for rate, _ in rates}) == 2  # prompt and low-rank change learn at two rates


def test_a_sparse_difference_gives_the_weights_to_the_last_bit() -> None:
    handle = put("sparse", make_backbone("bert"))
    train(handle, make_inputs("bert"), steps=8)
    trained = {n: p.detach().clone() for n, p in handle.weights.items()}
    handle.load_state(handle.state())
    assert all(torch.equal(p, trained[n]) for n, p in handle.weights.items())


def test_a_method_under_another_one_stays() -> None:
    model = make_backbone("bert")
    below, above = attach(model, "lora"), attach(model, "adapter")
    for end in (below.remove, below.merge):
        with pytest.raises(ArchitectureError, match="take that one off first"):
            end()
    above.remove()
    below.remove()
    below = attach(model, "lora")
    attach(model, "adapter").remove()
    below.merge()


def test_the_bandit_learns_which_block_is_not_needed() -> None:
    torch.manual_seed(0)
    handle: Any = attach(make_backbone("bert"), "das", skip=1, search_share=1.0)
    for step in range(1, 200):
        handle.advance(step / 200, 0.2 if handle.skipped[1] else 1.0)
    assert handle.preferences.argmax() == 1


def test_scales_of_equal_sources_give_the_source() -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    scaled = put("scalearn", model).features(inputs)
    source = attach(model, "adapter", bottleneck=8)
    torch.manual_seed(2)
    for parameter in source.trainable_parameters():
        nn.init.normal_(parameter, std=0.3)
    wanted = attach(make_backbone("bert"), "adapter", bottleneck=8)
    wanted.load_state(source.state())
    assert torch.allclose(wanted.features(inputs), scaled, atol=1e-5)


def test_a_prompt_starts_from_its_source_and_is_held_to_it() -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    source = attach(model, "prompt", length=4)
    state = source.state()
    source.remove()
    other = {"own.positions": -state["own.positions"]}
    assert choose_source(state, {"near": state, "far": other}) == ("near", pytest.approx(1.0))
    handle = attach(model, "prompt", length=4, source=state, distil=1.0)
    handle.features(inputs)
    assert torch.equal(handle.state()["own.positions"], state["own.positions"])
    assert float(torch.as_tensor(handle.regularise())) == 0.0
    (positions,) = handle.trainable_parameters()
    with torch.no_grad():
        positions += 0.5
    handle.features(inputs)
    penalty = handle.regularise()
    assert penalty is not None
    penalty.backward()
    assert penalty > 0
    assert positions.grad is not None
    assert positions.grad.any()


def test_queries_leave_the_features_intact() -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    plain = attach(model, "probe").features(inputs)
    found = attach(model, "vqt").features(inputs)
    assert torch.allclose(found[:, :D], plain, atol=1e-5)


@pytest.mark.parametrize("method", ["lst", "unipt", "vqt", "probe"])
def test_side_networks_keep_nothing_of_the_backbone(method: str) -> None:
    handle = put(method, make_backbone("bert"))
    feature = handle.features(make_inputs("bert"))
    names, todo = set(), [feature.grad_fn]
    while todo:
        node = todo.pop()
        if node is not None and node not in names:
            names.add(node)
            todo += [n for n, _ in node.next_functions]
    # The backbone has 8 layer normalisations after the embeddings; the ladder has two a block.
    norms = sum("LayerNorm" in type(node).__name__ for node in names)
    assert norms == (2 * L if method == "lst" else 0)


def test_a_gated_pair_does_not_look_at_padding() -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    handle = attach(model, "petalface")
    for parameter in handle.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    alone = {name: value[:1] for name, value in inputs.items()}
    wider = {name: torch.nn.functional.pad(value, (0, 5)) for name, value in alone.items()}
    with torch.no_grad():
        assert torch.allclose(handle.features(alone), handle.features(wider), atol=1e-5)


def test_a_library_methods_dropout_is_off_in_evaluation() -> None:
    model, inputs = make_backbone("bert"), make_inputs("bert")
    handle = attach(model, "library", type="LORA", r=4, lora_dropout=0.5)
    for parameter in handle.trainable_parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    with torch.no_grad():
        handle.train(False)
        assert torch.equal(handle.features(inputs), handle.features(inputs))
        handle.train()
        assert not torch.equal(handle.features(inputs), handle.features(inputs))


def test_what_was_taken_off_is_not_merged() -> None:
    handle = attach(make_backbone("bert"), "lora")
    handle.remove()
    with pytest.raises(ArchitectureError, match="attach it anew"):
        handle.merge()
    handle.remove()  # twice is once
