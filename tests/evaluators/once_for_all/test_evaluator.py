"""Once-for-all networks, their training, quantisation, and the evaluator of the elastic space."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

import bequest
from bequest.common.errors import DataError, EvaluationError, SpaceError, StudyError
from bequest.evaluators.datasets import load_task
from bequest.evaluators.factory import EvaluatorOptions, make_evaluator
from bequest.evaluators.image.tasks import Images
from bequest.evaluators.image.training import Budget
from bequest.evaluators.once_for_all.budget import ElasticBudget
from bequest.evaluators.once_for_all.evaluator import ElasticEvaluator, ends
from bequest.evaluators.once_for_all.integer_network import (
    folded,
    pack_bits,
    packed,
    unpack_bits,
    unpacked,
)
from bequest.evaluators.once_for_all.measure import calibrate, measure
from bequest.evaluators.once_for_all.network import Cut, OnceForAll
from bequest.evaluators.once_for_all.quantisation import block_bits, quantise, weight_quantiser
from bequest.evaluators.once_for_all.training import PHASES, ProgressiveShrinking, Shrinking, drawn
from bequest.spaces.elastic import BITS, SMALL, Geometry
from bequest.spaces.elastic_genes import Networks
from bequest.spaces.named import make_space

TINY = Geometry(4, (8, 16, 24), (3, 1), (2, 1))
QUICK = Shrinking(epochs=(1, 1, 1, 1), images=400, batch_size=32)


def images(count: int = 96, channels: int = 1, size: int = 8) -> Images:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(count, channels, size, size, generator=generator)
    return Images(x, torch.arange(count) % 4)


def network(seed: int = 0, geometry: Geometry = TINY) -> OnceForAll:
    torch.manual_seed(seed)
    made = OnceForAll(geometry, 1, 4)
    for parameter in made.smaller.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)
    return made


# The network --------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", range(4))
def test_what_is_extracted_is_what_was_trained(row: int) -> None:
    whole, batch = network(), images()
    cut = Cut.of(Networks.sample(TINY, 4, np.random.default_rng(1)), row)
    extracted = whole.extract(cut).train()  # so that both normalise by the batch
    torch.testing.assert_close(extracted(batch.x), whole(batch.x, cut))


def test_cuts_share_weights_and_the_largest_is_the_whole() -> None:
    whole, batch = network(), images(8)
    torch.testing.assert_close(whole(batch.x), whole.whole.train()(batch.x))
    kernel = whole.block(0).depthwise.conv.weight
    _, depthwise, project = whole.weights(0, 3, 40)
    assert depthwise.shape == (40, 1, 3, 3)
    assert project.shape == (16, 40, 1, 1)
    depthwise.sum().backward()
    assert kernel.grad is not None
    assert kernel.grad[40:].abs().sum() == 0
    assert kernel.grad[:40, :, 1:-1, 1:-1].abs().sum() > 0
    assert kernel.grad[:, :, 0].abs().sum() == 0


def test_sorting_channels_changes_nothing_but_their_order() -> None:
    whole, batch = network(), images(16)
    before = whole(batch.x)
    whole.sort_channels()
    torch.testing.assert_close(whole(batch.x), before, rtol=1e-4, atol=1e-5)
    importance = whole.block(0).project.conv.weight.abs().sum((0, 2, 3))
    assert (importance.diff() <= 1e-6).all()


def test_calibration_takes_statistics_of_the_cut_itself() -> None:
    whole, batch = network(), images(64)
    extracted = whole.extract(whole.largest)
    calibrate(extracted, batch)
    assert not extracted.training
    # One batch holds all images, so evaluation and training normalise alike (but for n - 1).
    torch.testing.assert_close(extracted(batch.x), whole(batch.x), rtol=0.05, atol=0.05)


# Its training -------------------------------------------------------------------------------------


def shrinking(checkpoint: Path | None = None, seed: int = 3) -> ProgressiveShrinking:
    return ProgressiveShrinking(
        TINY, images(), 4, QUICK, seed=seed, flips=False, checkpoint=checkpoint
    )


def test_a_training_that_was_stopped_goes_on_bit_for_bit(tmp_path: Path) -> None:
    whole = shrinking().run()
    for epochs in range(1, 5):
        shrinking(tmp_path / "x.pt").run(epochs=epochs)
    resumed = shrinking(tmp_path / "x.pt")
    assert resumed.finished
    assert [epoch.phase for epoch in resumed.epochs] == list(PHASES)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.network.state_dict()[name]), name
    with pytest.raises(StudyError, match="another search or training"):
        shrinking(tmp_path / "x.pt", seed=4)
    (tmp_path / "x.pt").write_text("nothing")
    with pytest.raises(StudyError, match="cannot read the checkpoint"):
        shrinking(tmp_path / "x.pt")


def test_each_phase_makes_one_thing_more_elastic() -> None:
    for phase, name in enumerate(PHASES):
        cuts = [next(drawn(TINY, phase, np.random.default_rng(i))) for i in range(20)]
        largest = Cut.largest(TINY)
        assert (len({cut.kernels[0] for cut in cuts}) > 1) == (phase >= 1), name
        assert (len({cut.blocks for cut in cuts}) > 1) == (phase >= 2), name
        assert (len({cut.channels[0] for cut in cuts}) > 1) == (phase >= 3), name
        assert (cuts[0] == largest) == (phase == 0)


def test_training_learns() -> None:
    batch = images()
    batch.x[:] += 1.5 * batch.y.view(-1, 1, 1, 1)
    settings = Shrinking(epochs=(12, 1, 1, 4), batch_size=32)
    whole = ProgressiveShrinking(TINY, batch, 4, settings, seed=0, flips=False).run()
    smallest = Networks.default(TINY, 1)
    smallest.depth[:] = [2, 1]
    assert measure(whole, whole.largest, batch, batch) > 0.5
    assert measure(whole, Cut.of(smallest), batch, batch) > 0.4


def test_no_epoch_for_the_largest_network_is_refused() -> None:
    with pytest.raises(EvaluationError, match="needs one at least"):
        Shrinking(epochs=(0, 1, 1, 1))


# Bits ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits", BITS)
def test_weights_have_as_many_levels_as_their_bits(bits: int) -> None:
    weight = torch.linspace(-1.5, 0.9, 5_000)
    rounded = weight_quantiser(bits)(weight)
    most = 2 ** (bits - 1) - 1
    steps = rounded / (1.5 / most)
    torch.testing.assert_close(steps, steps.round(), atol=1e-3, rtol=0)
    assert steps.round().min() == -most
    assert rounded.unique().numel() <= 2 * most + 1


def quantised(row: int, bits: int | None = None) -> tuple[torch.nn.Module, Networks, Images]:
    networks = Networks.sample(TINY, 4, np.random.default_rng(5))[row : row + 1]
    if bits is not None:
        networks.bits[:] = BITS.index(bits)
    batch = images()
    extracted = network().extract(Cut.of(networks))
    calibrate(extracted, batch)
    return quantise(extracted, block_bits(networks), batch.x), networks, batch


def test_eight_bits_are_nearly_the_floats_and_four_are_not() -> None:
    networks = Networks.sample(TINY, 4, np.random.default_rng(5))[:1]
    plain, batch = network().extract(Cut.of(networks)), images()
    calibrate(plain, batch)
    exact = plain(batch.x)
    errors = [
        ((quantised(0, bits)[0](batch.x) - exact).norm() / exact.norm()).item() for bits in BITS
    ]
    assert errors[2] < 0.1
    assert errors[0] > errors[1] > errors[2]


def test_training_with_few_bits_learns_ranges_and_weights() -> None:
    made, _, batch = quantised(0, 6)
    made.train()
    optimizer = torch.optim.SGD(made.parameters(), 0.05, momentum=0.9)
    ranges = {k: v.clone() for k, v in made.state_dict().items() if k.endswith("inputs.fake.scale")}
    losses = []
    for _ in range(30):
        loss = functional.cross_entropy(made(batch.x), batch.y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(not torch.equal(made.state_dict()[k], v) for k, v in ranges.items())


@given(st.sampled_from(BITS), st.lists(st.floats(-1, 1), min_size=1, max_size=40))
@settings(max_examples=40)
def test_packed_integers_come_back(bits: int, values: list[float]) -> None:
    integers = (np.array(values) * (2 ** (bits - 1) - 1)).round().astype(np.int8)
    data = pack_bits(integers, bits)
    assert data.nbytes == -(-len(values) * bits // 8)
    np.testing.assert_array_equal(unpack_bits(data, bits, len(values)), integers)


@pytest.mark.parametrize("row", range(4))
def test_integers_are_what_was_trained_and_survive_packing(row: int) -> None:
    made, networks, batch = quantised(row)
    trained = made(batch.x).detach()
    integer = folded(made)  # type: ignore[arg-type]
    # A sum that lies on the edge between two levels may fall to either side.
    torch.testing.assert_close(integer(batch.x), trained, rtol=0.05, atol=0.05)
    fresh = network().extract(Cut.of(networks))
    back = unpacked(fresh, block_bits(networks), packed(integer))
    assert torch.equal(back(batch.x), integer(batch.x))
    saved = packed(integer)
    saved["weights"] = saved["weights"][:-1]
    with pytest.raises(DataError, match="shorter"):
        unpacked(network().extract(Cut.of(networks)), block_bits(networks), saved)


# The evaluator ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def evaluator(tmp_path_factory: pytest.TempPathFactory) -> ElasticEvaluator:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BEQUEST_HOME", str(tmp_path_factory.mktemp("home")))
        shrinking = Shrinking(epochs=(6, 1, 1, 3), images=1_000, batch_size=32)
        budget = ElasticBudget(shrinking, Budget(1, 300, None, 32, learning_rate=0.01))
        made = ElasticEvaluator(load_task("digits"), budget=budget)
        made.once_for_all(0)
    return made


def test_a_network_is_measured_and_its_costs_are_known(evaluator: ElasticEvaluator) -> None:
    config = evaluator.space.default
    assert config is not None
    outcome = evaluator(config, seed=0)
    assert outcome.value == evaluator(config, seed=0).value
    assert outcome.value > 0.5
    assert {"latency", "energy", "size", "parameters", "flops"} <= set(outcome.metrics)
    cut = evaluator.cut_accuracy(evaluator.networks([config]), 0, seed=0)
    assert 0.4 < cut <= 1


def test_the_file_is_as_small_as_was_said(evaluator: ElasticEvaluator, tmp_path: Path) -> None:
    networks = Networks.sample(evaluator.geometry, 1, np.random.default_rng(0))
    model = evaluator.fit(networks.configs()[0], seed=0)
    model.save(str(tmp_path))
    size = evaluator.costs.total(networks, "size")[0]
    assert size <= (tmp_path / "model.safetensors").stat().st_size <= size + 400
    loaded = bequest.load_model(str(tmp_path))
    pixels = evaluator.task.images[:50]
    assert torch.equal(loaded.predict_proba(pixels), model.predict_proba(pixels))
    assert json.loads((tmp_path / "model.json").read_text())["kind"] == "elastic"


def test_a_once_for_all_network_is_trained_once(evaluator: ElasticEvaluator) -> None:
    another = ElasticEvaluator(evaluator.task, budget=evaluator.budget)
    assert another.checkpoint(0).name == evaluator.checkpoint(0).name
    assert another.checkpoint(1).name != evaluator.checkpoint(0).name
    order = np.random.default_rng(0).permutation(len(evaluator.task.labels))
    mixed, labels = evaluator.task.images[order], evaluator.task.labels[order]
    shuffled = bequest.ImageClassification(mixed, labels, name=evaluator.task.name)
    other = ElasticEvaluator(shuffled, budget=evaluator.budget)  # another split: it must not leak
    assert other.checkpoint(0).name != evaluator.checkpoint(0).name
    smaller = replace(evaluator.budget, fine_tuning=replace(evaluator.budget.fine_tuning, size=7))
    other = ElasticEvaluator(evaluator.task, budget=smaller)  # the stem halves 7 and 8 alike
    assert other.geometry == evaluator.geometry
    assert other.checkpoint(0).name != evaluator.checkpoint(0).name


def test_images_are_square_or_made_so() -> None:
    rng = np.random.default_rng(0)
    wide = bequest.ImageClassification(rng.random((90, 1, 8, 20)), np.arange(90) % 3, name="wide")
    with pytest.raises(SpaceError, match="images of 8 x 20 pixels: .* give a size, for example 8"):
        ElasticEvaluator(wide)
    assert made_by_name(wide, size=8).geometry.size == 4


def made_by_name(task: Any, **options: Any) -> ElasticEvaluator:
    evaluator = make_evaluator(task, "elastic", EvaluatorOptions(**options))
    assert isinstance(evaluator, ElasticEvaluator)
    return evaluator


def test_options_go_to_the_training_that_they_mean() -> None:
    digits = load_task("digits")
    usual = ElasticBudget()
    assert made_by_name(digits).budget == usual
    budget = made_by_name(digits, epochs=3, images=0, size=8).budget
    assert budget.fine_tuning == replace(usual.fine_tuning, epochs=3, size=8)
    assert budget.shrinking == replace(usual.shrinking, images=None)
    assert budget.keeping == replace(usual.keeping, epochs=3)
    assert made_by_name(digits, epochs=1).budget.keeping == usual.keeping  # no shorter than usual


def test_images_must_lead_to_the_geometry() -> None:
    with pytest.raises(SpaceError, match="enter the first block at 16"):
        ends(SMALL, 3, 10, 32)
    assert ElasticEvaluator(load_task("digits")).geometry.size == 4
    with pytest.raises(LookupError, match="unknown elastic space"):
        ElasticEvaluator(load_task("digits"), space=make_space("darts"))
