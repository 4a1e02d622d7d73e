"""The evaluator of elastic spaces: networks are cut from a once-for-all network and quantised.

Source: Wang et al., *APQ*, CVPR 2020, after Cai et al., *Once-for-All*, ICLR 2020.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from torch import nn

from ...common.errors import SpaceError
from ...common.home import home
from ...common.threads import one_thread
from ...spaces import Config, Space
from ...spaces.elastic import Geometry, Layer, elastic_space, geometry_of
from ...spaces.elastic_genes import Networks
from ..budgets import unusual
from ..fitted_model import FittedModel, ModelKind
from ..hardware.model import LayerCostModel
from ..hardware.table import CostTable
from ..hardware.timing import Progress, timed_table
from ..hardware.totals import NetworkCosts
from ..image.image_model import ImageFacts
from ..image.tasks import ImageClassification, Images
from ..image.training import score, scores, train
from ..task import Outcome, Report
from ..training_evaluator import Provenance, Trained, TrainingEvaluator
from ..training_loop import trainable
from .budget import ElasticBudget
from .integer_network import folded
from .measure import calibrate, measure
from .network import Cut, OnceForAll, channels_last
from .quantisation import block_bits, quantise
from .quantised_model import QuantisedKind
from .training import ProgressiveShrinking

RANGING = 256
"""Images from which the first ranges of inputs are taken."""


class ElasticEvaluator(TrainingEvaluator):
    """Cuts the network of a configuration, quantises it, fine-tunes it and measures it.

    The once-for-all network is trained when it is first needed and stored in the Bequest home: all
    studies on the same task and seed share it. The objective is the accuracy on the validation
    part; ``latency`` (ms), ``energy`` (mJ), ``size`` (bytes), ``parameters`` and ``flops`` are
    metrics.

    Args:
        task: What is predicted; images of 28 or 32 pixels suit the small space.
        space: The small elastic space by default.
        budget: Trainings.
        table: Costs of layers; by default those that BitFusion would have.
        device: Where to train; by default a GPU where there is one.

    Raises:
        SpaceError: The space is not elastic, or its table is not for such images.
    """

    def __init__(
        self,
        task: ImageClassification,
        *,
        space: Space | None = None,
        budget: ElasticBudget | None = None,
        table: CostTable | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__(task, space or elastic_space(), device)
        self.task: ImageClassification = task
        self.budget = budget or ElasticBudget()
        # Images are averaged down to a size, never up.
        whole = max(task.height, task.width)
        self._size = min(self.budget.fine_tuning.size or whole, whole)
        if task.height != task.width and self._size == whole:
            raise SpaceError(
                f"images of {task.height} x {task.width} pixels: an elastic network takes square "
                f"ones, give a size, for example {min(task.height, task.width)}"
            )
        self.geometry = replace(geometry_of(self.space), size=-(-self._size // 2))
        self._ends = ends(self.geometry, task.channels, task.classes, self._size)
        self._table = table
        self.costs = self.costs_by(table or LayerCostModel.load().table(self.geometry, *self._ends))
        self._kept: dict[int, OnceForAll] = {}
        self._split: tuple[int, dict[str, Images]] | None = None

    @property
    def conditions(self) -> dict[str, Any]:
        """Other trainings, another machine's costs."""
        other = {} if self._table is None else {"table": self._table.digest}
        return other | unusual(self.budget, ElasticBudget())

    def costs_by(self, table: CostTable) -> NetworkCosts:
        """What networks cost by a table.

        Raises:
            ConfigurationError: It lacks layers of the space.
        """
        return NetworkCosts(self.geometry, table, *self._ends)

    def time_layers(
        self,
        *,
        threads: int = 1,
        watts: float | None = None,
        progress: Progress = lambda done, total: None,
    ) -> CostTable:
        """The costs of the space's layers on the machine at hand, see `timed_table`."""
        return timed_table(
            self.geometry,
            *self._ends,
            device=str(self.device),
            threads=threads,
            watts=watts,
            progress=progress,
        )

    # The once-for-all network -------------------------------------------------------------------

    def once_for_all(
        self, seed: int, after_epoch: Callable[[ProgressiveShrinking], object] = lambda _: None
    ) -> OnceForAll:
        """The once-for-all network of a seed: stored, or trained from where its checkpoint stands.

        Args:
            seed: Decides split, weights and everything drawn.
            after_epoch: Called after each epoch that is trained now.

        Raises:
            EvaluationError: The training diverged.
        """
        if seed not in self._kept:
            path = self.checkpoint(seed)
            path.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(path.with_suffix(".lock")), one_thread(self.device.type):
                training = ProgressiveShrinking(
                    self.geometry,
                    self._parts(seed)["train"],
                    self.task.classes,
                    self.budget.shrinking,
                    seed=seed,
                    flips=self.task.flips,
                    checkpoint=path,
                )
                self._kept[seed] = training.run(lambda: after_epoch(training))
        return self._kept[seed]

    def checkpoint(self, seed: int) -> Path:
        """The file in which the once-for-all network of a seed is stored."""
        facts = {
            "task": [self.task.name, self.task.digest, self.task.flips],
            "size": self._size,
            "geometry": asdict(self.geometry),
            "shrinking": asdict(self.budget.shrinking),
            "seed": seed,
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:12]
        return home() / "once_for_all" / f"{self.task.name.replace('/', '_')}-{digest}.pt"

    def cut_accuracy(self, networks: Networks, row: int, seed: int) -> float:
        """The validation accuracy of a network as it is cut, in float32 and without fine-tuning."""
        parts = self._parts(seed)
        judging = parts["validation"]
        if len(judging) > self.budget.judging:
            judging = judging.at(torch.arange(self.budget.judging))
        with one_thread(self.device.type):
            return measure(self.once_for_all(seed), Cut.of(networks, row), parts["train"], judging)

    def tuned_accuracy(self, networks: Networks, row: int, seed: int) -> float:
        """The validation accuracy after quantisation and fine-tuning: the value of a trial.

        Raises:
            EvaluationError: The training diverged or did not fit into memory.
        """
        parts = self._parts(seed)
        with trainable(self.device, seed):
            trained = self._fine_tune(parts, networks.configs()[row], seed, None)
            return score(trained.network, parts["validation"])[0]

    # One network --------------------------------------------------------------------------------

    def __call__(self, config: Config, *, seed: int, report: Report | None = None) -> Outcome:
        """Cut, quantise, fine-tune and measure; and say what the network costs.

        Raises:
            ConfigurationError: The configuration is not in the space.
            EvaluationError: The training diverged or did not fit into memory.
        """
        outcome = super().__call__(config, seed=seed, report=report)
        networks = self.networks([config])
        costs = dict(zip(self.costs.names, self.costs(networks)[0].tolist(), strict=True))
        return Outcome(outcome.value, outcome.metrics | costs)

    def fit(self, config: Config, *, seed: int, train_on_validation: bool = False) -> FittedModel:
        """Cut, quantise and fine-tune once more, by the budget for a network that is kept.

        Raises:
            ConfigurationError: The configuration is not in the space.
            EvaluationError: The training diverged or did not fit into memory.
        """
        keeping = replace(self.budget.keeping, size=self.budget.fine_tuning.size)
        usual, self.budget = self.budget, replace(self.budget, fine_tuning=keeping)
        try:
            return super().fit(config, seed=seed, train_on_validation=train_on_validation)
        finally:
            self.budget = usual

    def networks(self, configs: list[Config]) -> Networks:
        """Configurations as arrays."""
        return Networks.of(self.geometry, configs)

    def _train(self, config: Config, seed: int, report: Report | None) -> Trained:
        return self._fine_tune(self._parts(seed), config, seed, report)

    def _train_on_both(self, config: Config, seed: int) -> Trained:
        parts = dict(self._parts(seed))
        parts["train"] = parts["train"].joined(parts.pop("validation"))
        return self._fine_tune(parts, config, seed, None)

    def _fine_tune(
        self, parts: dict[str, Images], config: Config, seed: int, report: Report | None
    ) -> Trained:
        networks, budget = self.networks([config]), self.budget.fine_tuning
        images = parts["train"]
        if budget.images is not None and budget.images < len(images):
            drawn = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))
            images = images.at(drawn[: budget.images])
        network = self.once_for_all(seed).extract(Cut.of(networks))
        channels_last(network)
        calibrate(network, images)
        network = quantise(network, block_bits(networks), images.x[:RANGING])
        training = train(
            network,
            images,
            budget,
            seed=seed,
            flips=self.task.flips,
            validation=parts.get("validation"),
            report=report,
        )
        calibrate(network, images)
        folded(network)
        one = parts["test"].x[:1]
        judging: dict[str, Images] = {
            name: parts[name] for name in ("validation", "test") if name in parts
        }
        return Trained(network, training, lambda: scores(network, judging), lambda: network(one))

    def _kind(self, network: nn.Module, origin: Provenance) -> ModelKind:
        mean, deviation = self.task.scale(origin.seed, self.budget.shrinking.images)
        facts = ImageFacts(
            space=self.space.name,
            shape={"inputs": self.task.channels, "classes": self.task.classes},
            size=self.budget.fine_tuning.size,
            mean=mean.flatten().tolist(),
            deviation=deviation.flatten().tolist(),
            **vars(origin),
        )
        return QuantisedKind(facts)

    def _parts(self, seed: int) -> dict[str, Images]:
        if self._split is None or self._split[0] != seed:
            budget = self.budget
            parts = self.task.parts(seed, budget.shrinking.images, budget.fine_tuning.size)
            moved = {k: _mixed(v, seed).to(self.device) for k, v in parts.items()}
            self._split = (seed, moved)
        return self._split[1]

    def __getstate__(self) -> dict[str, Any]:
        # Worker processes take the network from its file and the images from the task.
        return {**self.__dict__, "_kept": {}, "_split": None}


def _mixed(images: Images, seed: int) -> Images:
    """The images in random order, so that the first of them are a fair sample."""
    generator = torch.Generator().manual_seed(seed)
    return images.at(torch.randperm(len(images), generator=generator))


def ends(
    geometry: Geometry, channels: int, classes: int, size: int
) -> tuple[list[Layer], list[Layer]]:
    """The layers before the first block and behind the last.

    Raises:
        SpaceError: The stem would not lead to the geometry's size.
    """
    if -(-size // 2) != geometry.size:
        raise SpaceError(
            f"images of {size} pixels enter the first block at {-(-size // 2)} pixels, not at "
            f"{geometry.size}: use another geometry"
        )
    head = [Layer(channels, geometry.widths[0], size, 3, 2)]
    return head, [Layer(geometry.widths[-1], classes, 1)]
