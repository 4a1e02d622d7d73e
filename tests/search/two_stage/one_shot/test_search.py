"""A relaxed search over its epochs: resuming, candidates, cures, the collapse detector."""

from __future__ import annotations

import dataclasses
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bequest.common.errors import ConfigurationError, EvaluationError, StudyError, UnknownNameError
from bequest.evaluators.supernet import Supernet
from bequest.search.two_stage.one_shot.optimiser import OptimiserSettings
from bequest.search.two_stage.one_shot.rarts import Coupling
from bequest.search.two_stage.one_shot.search import Epoch, SupernetSearch
from bequest.search.two_stage.one_shot.settings import METHODS, OneShotSettings, Regularisation
from bequest.spaces.cell import nas_bench_201_space

MakeSupernet = Callable[..., Supernet]
SHORT = OneShotSettings(epochs=4, regularisation=Regularisation(warmup=1))


def essence(search: SupernetSearch) -> list[dict[str, Any]]:
    """The record without the clock."""
    return [{**dataclasses.asdict(epoch), "seconds": 0} for epoch in search.epochs]


@pytest.mark.parametrize("method", METHODS)
def test_a_search_goes_on_from_its_checkpoint_bit_for_bit(
    method: str, make_supernet: MakeSupernet, tmp_path: Path
) -> None:
    coupling = Coupling(growth=1.01)
    settings = OneShotSettings(
        method, 3, coupling=coupling, regularisation=Regularisation(warmup=1), eigenvalues=False
    )
    whole = SupernetSearch(make_supernet(), settings, seed=3)
    whole.run()
    path = tmp_path / "search.pt"
    SupernetSearch(make_supernet(), settings, seed=3, checkpoint=path).run(epochs=2)
    resumed = SupernetSearch(make_supernet(), settings, seed=3, checkpoint=path)
    assert len(resumed.epochs) == 2
    resumed.run()
    assert essence(resumed) == essence(whole)
    assert torch.equal(resumed.optimiser.judged, whole.optimiser.judged)


KILLED = """
import os, signal, sys
from pathlib import Path
from bequest.evaluators.datasets import load_task
from bequest.evaluators.image.evaluator import ImageEvaluator
from bequest.evaluators.image.training import Budget
from bequest.search.two_stage.one_shot.search import SupernetSearch
from bequest.search.two_stage.one_shot.settings import Regularisation, OneShotSettings

budget = Budget(epochs=2, images=200, batch_size=32)
supernet = ImageEvaluator(load_task("digits"), budget=budget, channels=4).supernet(seed=0)
settings = OneShotSettings(epochs=4, regularisation=Regularisation(warmup=1))
search = SupernetSearch(supernet, settings, seed=0, checkpoint=Path(sys.argv[1]))
step, steps = search.optimiser.step, 0
def killing(*args, **options):
    global steps
    steps += 1
    if steps == 5:  # in the middle of the third epoch
        os.kill(os.getpid(), signal.SIGKILL)
    return step(*args, **options)
search.optimiser.step = killing
search.run()
"""


def test_killed_in_the_middle_of_an_epoch_it_goes_on_bit_for_bit(
    make_supernet: MakeSupernet, tmp_path: Path
) -> None:
    path = tmp_path / "search.pt"
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=100)
    assert done.returncode == -signal.SIGKILL
    resumed = SupernetSearch(make_supernet(), SHORT, seed=0, checkpoint=path)
    assert len(resumed.epochs) == 2
    resumed.run()
    whole = SupernetSearch(make_supernet(), SHORT, seed=0)
    whole.run()
    assert essence(resumed) == essence(whole)
    assert torch.equal(resumed.optimiser.judged, whole.optimiser.judged)


def test_a_checkpoint_belongs_to_one_search(make_supernet: MakeSupernet, tmp_path: Path) -> None:
    path = tmp_path / "search.pt"
    SupernetSearch(make_supernet(), SHORT, seed=0, checkpoint=path).run(epochs=1)
    with pytest.raises(StudyError, match="is of another search .*: delete it or"):
        SupernetSearch(make_supernet(), SHORT, seed=1, checkpoint=path)
    path.write_bytes(b"half a file")
    with pytest.raises(StudyError, match="cannot read the checkpoint"):
        SupernetSearch(make_supernet(), SHORT, seed=0, checkpoint=path)


def test_alphas_stand_still_in_the_warm_up_and_move_afterwards(make_supernet: MakeSupernet) -> None:
    search = SupernetSearch(make_supernet(), SHORT, seed=0)
    start = search.supernet.by_decision(search.optimiser.alpha)
    search.run()
    assert search.epochs[0].alphas == start
    assert search.epochs[1].alphas != start
    assert search.epochs[-1].entropy < search.epochs[0].entropy < 1 + 1e-9
    assert search.epochs[-1].train_loss < search.epochs[0].train_loss


def test_candidates_are_different_and_the_largest_alphas_comes_first(
    make_supernet: MakeSupernet,
) -> None:
    search = SupernetSearch(make_supernet(), SHORT, seed=0)
    search.run()
    found = search.candidates(9)
    assert search.candidates(9) == found
    assert len({tuple(c.config.items()) for c in found}) == 9
    assert found[0].origin == "largest alpha"
    assert found[0].config == search.epochs[-1].config
    assert found[1].origin == "operation removal"
    for candidate in found:
        nas_bench_201_space().validate(candidate.config)


@pytest.mark.parametrize("options", [{}, {"gate": "sigmoid", "zero_one": 2.0}])
def test_one_pass_of_both_networks_gives_both_losses(
    options: dict[str, Any], make_supernet: MakeSupernet
) -> None:
    supernet = make_supernet(**options)
    w, alpha = supernet.start(0)
    y = w + 0.05 * torch.randn_like(w)
    (train, validation), *_ = supernet.halves.batches(0)
    found = []
    for vectors in (True, False):
        leaves = [v.clone().requires_grad_() for v in (w, y, alpha)]
        if vectors:
            losses = supernet.both_losses(*leaves, train, validation)
        else:
            losses = (
                supernet.train_loss(leaves[0], leaves[2], train),
                supernet.validation_loss(leaves[1], leaves[2], validation),
            )
        found.append([*losses, *torch.autograd.grad(3 * losses[0] + losses[1], leaves)])
    for one, other in zip(*found, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


# Regularisation -----------------------------------------------------------------------------------


def test_skips_are_capped(make_supernet: MakeSupernet) -> None:
    settings = dataclasses.replace(
        SHORT, regularisation=Regularisation(warmup=0, max_skips=0), epochs=1
    )
    search = SupernetSearch(make_supernet(), settings, seed=0)
    search.run()
    assert all(not search.supernet.relaxation.skips(c.config) for c in search.candidates(8))


def test_gates_of_a_sigmoid_do_not_compete_and_are_driven_apart(
    make_supernet: MakeSupernet,
) -> None:
    alpha = torch.full((30,), 0.3)
    for gate, total in (("softmax", 1.0), ("sigmoid", 5 / (1 + np.exp(-0.3)))):
        gates = make_supernet(gate=gate).gates(alpha)
        assert all(float(g.sum()) == pytest.approx(total, abs=1e-5) for g in gates.values())
    supernet = make_supernet(gate="sigmoid", zero_one=10.0)
    batch = supernet.halves.judging()[0]
    plain = make_supernet(gate="sigmoid").validation_loss(supernet.start(0)[0], alpha, batch)
    pushed = supernet.validation_loss(supernet.start(0)[0], alpha, batch)
    expected = 10 * (1 / (1 + np.exp(-0.3)) - 0.5) ** 2
    assert float(plain - pushed) == pytest.approx(expected, rel=1e-3)


def test_a_decaying_skip_fades_to_nothing(make_supernet: MakeSupernet) -> None:
    plain, decaying = make_supernet(), make_supernet(decaying_skip=True)
    weights, alpha = plain.start(0)
    losses = []
    for share in (0.0, 0.5, 1.0):
        decaying.set_progress(share)
        losses.append(decaying.judge(weights, alpha)[0])
    assert len(set(losses)) == 3
    assert losses[-1] == plain.judge(weights, alpha)[0]


# Faults -------------------------------------------------------------------------------------------


def test_a_diverging_search_says_what_may_help(make_supernet: MakeSupernet) -> None:
    rates = OptimiserSettings(weights=1e12, clip=None)
    search = SupernetSearch(make_supernet(), dataclasses.replace(SHORT, optimiser=rates), seed=0)
    with pytest.raises(EvaluationError, match=r"diverged in epoch \d: a learning rate"):
        search.run()


def test_settings_that_make_no_sense() -> None:
    with pytest.raises(UnknownNameError, match="method of one-shot search 'darts': did you mean"):
        OneShotSettings(method="darts")
    with pytest.raises(ConfigurationError, match="ends in its warm-up of 2"):
        OneShotSettings(epochs=2)
    with pytest.raises(UnknownNameError, match="gate 'softmx': did you mean 'softmax'"):
        Regularisation(gate="softmx")
    with pytest.raises(ConfigurationError, match="max_skips is -1: give 0 or more"):
        Regularisation(max_skips=-1)
    with pytest.raises(ConfigurationError, match="warmup is -1"):
        Regularisation(warmup=-1)
    with pytest.raises(ConfigurationError, match="set gate='sigmoid'"):
        Regularisation(zero_one=1.0)
    with pytest.raises(ConfigurationError, match="set eigenvalues=True"):
        OneShotSettings(regularisation=Regularisation(stop_by_eigenvalue=True), eigenvalues=False)


def test_an_epoch_survives_as_plain_values(make_supernet: MakeSupernet) -> None:
    search = SupernetSearch(make_supernet(), SHORT, seed=0)
    search.run(epochs=1)
    assert Epoch(**dataclasses.asdict(search.epochs[0])) == search.epochs[0]
