"""Fisher fingerprints of graph tasks (Cao et al., *AutoTransfer*, ICLR 2023, section 4.1).

For each anchor and initialisation only the last linear layer is fitted; then the Fisher information
of the message-passing weights is taken on held-out samples, with labels drawn from the model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch_geometric.data import Batch

from ...common.threads import one_thread
from ...spaces import Config
from ..fingerprint import log_kappa, squared_gradients
from ..seeding import seeded
from .network import Block, GraphNetwork
from .problems import features, score_links
from .sparse import Adjacency
from .tasks import GraphClassification, GraphTask, LinkPrediction

NODES, GRAPHS = 1_000, 256
"""Nodes or pairs of nodes, and graphs, that are looked at in each part."""

DRAWS = 10
"""Draws of labels and signs for one Fisher information."""

EPOCHS, PATIENCE, LEARNING_RATE, DECAY = 100, 10, 1e-2, 1e-4
"""How the last layer is fitted, by Adam on all samples at once."""

_CPU = torch.device("cpu")


class GraphFingerprinter:
    """Describes node, graph and link tasks by untrained graph networks.

    Args:
        anchors: Configurations of the `gnn` space of any kind of task. What belongs to the training
            plays no part; a network without layers after message passing gets one, since a linear
            layer must be there to be fitted.
        initialisations: Over how many the fingerprint is averaged.

    Example:
        >>> fingerprinter = GraphFingerprinter(anchors)  # doctest: +SKIP
        >>> fingerprinter(load_task("wine-knn"), seed=0).shape  # doctest: +SKIP
        (12,)
    """

    def __init__(self, anchors: Sequence[Config], *, initialisations: int = 2) -> None:
        self.anchors = tuple(anchors)
        self.initialisations = initialisations

    def __call__(self, task: GraphTask, *, seed: int) -> np.ndarray:
        """Log kappa ``[anchors]``: how unevenly each anchor's Fisher information is spread.

        0 for an anchor whose scores explode or saturate before any training: it tells nothing.
        """
        with one_thread(), seeded(seed):
            parts = _parts(task, seed)
            return np.array([self._mean_kappa(task, parts, a, seed) for a in self.anchors])

    def _mean_kappa(self, task: GraphTask, parts: _Parts, anchor: Config, seed: int) -> float:
        kappas = []
        for number in range(self.initialisations):
            # A stream of its own: what an anchor says does not depend on the others.
            stream = np.random.SeedSequence([seed, number]).generate_state(1)
            with seeded(int(stream[0])):
                kappas.append(_kappa(task, parts, anchor))
        finite = [kappa for kappa in kappas if math.isfinite(kappa)]
        return float(np.mean(finite)) if finite else 0.0


def _kappa(task: GraphTask, parts: _Parts, anchor: Config) -> float:
    model = _Model(task, anchor)
    with torch.no_grad(), model.normalising():
        cached = model.encode(parts.train)
    model.fit(cached, parts.train)
    scores = model.scores(model.encode(parts.held_out), parts.held_out)
    if not bool(scores.isfinite().all()):
        return math.nan
    losses = partial(_losses_of_drawn_labels, scores)
    return log_kappa(squared_gradients(losses, model.message_weights(), draws=DRAWS))


# Data ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Samples:
    """Samples of one part, and the graph that they lie in.

    Attributes:
        x: Node features ``[nodes, features]``.
        edges: What messages pass along.
        batch: For graphs, the graph of each node ``[nodes]``.
        index: Nodes or graphs ``[samples]``, or pairs of nodes ``[2, samples]``.
        y: Their labels ``[samples]``.
    """

    x: Tensor
    edges: Adjacency
    batch: Tensor | None
    index: Tensor
    y: Tensor


@dataclass(frozen=True)
class _Parts:
    train: _Samples
    held_out: _Samples


def _parts(task: GraphTask, seed: int) -> _Parts:
    if isinstance(task, LinkPrediction):
        return _link_parts(task, seed)
    split = task.split(seed)
    if isinstance(task, GraphClassification):
        return _Parts(_graphs(task, split.train), _graphs(task, split.validation))
    edges = Adjacency(task.data.edge_index, int(task.data.num_nodes))
    train, held_out = (
        _Samples(task.data.x, edges, None, index, task.labels[index])
        for index in (split.train, _some(split.validation, NODES))
    )
    return _Parts(train, held_out)


def _graphs(task: GraphClassification, index: Tensor) -> _Samples:
    index = _some(index, GRAPHS)
    joined = Batch.from_data_list([task.graphs[i] for i in index.tolist()])
    edges = Adjacency(joined.edge_index, int(joined.num_nodes))
    order = torch.arange(len(index))
    return _Samples(joined.x, edges, joined.batch, order, task.labels[index])


def _link_parts(task: LinkPrediction, seed: int) -> _Parts:
    nodes = int(task.data.num_nodes)
    train, validation, _ = task.split(seed)
    edges = Adjacency(train.edge_index, nodes)
    links = train.edge_label_index
    # Training links come alone; random pairs stand for unlinked ones.
    pairs = torch.cat([links, torch.randint(nodes, links.shape)], dim=1)
    y = (torch.arange(pairs.shape[1]) < links.shape[1]).float()
    chosen = _some(torch.arange(validation.edge_label.shape[0]), NODES)
    held_out = validation.edge_label_index[:, chosen]
    return _Parts(
        _Samples(task.data.x, edges, None, pairs, y),
        _Samples(task.data.x, edges, None, held_out, validation.edge_label[chosen].float()),
    )


def _some(index: Tensor, most: int) -> Tensor:
    """At most so many of the indices, drawn at random."""
    return index[torch.randperm(len(index))[:most]]


# Networks -----------------------------------------------------------------------------------------
class _Model:
    """A fresh network of an anchor, its last linear layer apart."""

    def __init__(self, task: GraphTask, anchor: Config) -> None:
        self.config: Config = {**anchor, "layers_post": max(1, int(anchor["layers_post"]))}
        width = int(self.config["width"])
        outputs = width if isinstance(task, LinkPrediction) else task.classes
        self.encoder = GraphNetwork(self.config, task.features, outputs, task.level).eval()
        self.head = self.encoder.post[-1]
        self.encoder.post[-1] = nn.Identity()

    @contextmanager
    def normalising(self) -> Iterator[None]:
        """Inside, batch normalisation takes what it sees as the data's mean and variance."""
        norms = [m for m in self.encoder.modules() if isinstance(m, nn.BatchNorm1d)]
        for norm in norms:
            norm.momentum = 1.0
            norm.train()
        yield
        self.encoder.eval()

    def encode(self, samples: _Samples) -> Tensor:
        """What the last layer takes ``[nodes or graphs, width]``."""
        x = features(samples.x, self.config, _CPU)
        return cast(Tensor, self.encoder(x, samples.edges, samples.batch))

    def scores(self, encoded: Tensor, samples: _Samples) -> Tensor:
        """Scores ``[samples, classes]``, or ``[samples]`` of pairs."""
        if samples.index.dim() == 2:
            return score_links(self.head(encoded), samples.index)
        return cast(Tensor, self.head(encoded[samples.index]))

    def fit(self, encoded: Tensor, samples: _Samples) -> None:
        """Fit the last layer alone."""
        optimizer = torch.optim.Adam(self.head.parameters(), LEARNING_RATE, weight_decay=DECAY)
        best, best_epoch = math.inf, 0
        for epoch in range(EPOCHS):
            optimizer.zero_grad()
            loss = _losses(self.scores(encoded, samples), samples.y).mean()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            if loss.item() < best:
                best, best_epoch = loss.item(), epoch
            if epoch - best_epoch >= PATIENCE:
                break

    def message_weights(self) -> list[Tensor]:
        """The message-passing layers' weights, without biases and lone factors."""
        layers = [cast(Block, block).layer for block in self.encoder.mp]
        named = [pair for layer in layers for pair in layer.named_parameters()]
        return [p for name, p in named if p.dim() > 1 and not name.endswith("bias")]


def _losses(scores: Tensor, y: Tensor) -> Tensor:
    """The loss of each sample ``[samples]``."""
    if scores.dim() == 1:
        return functional.binary_cross_entropy_with_logits(scores, y, reduction="none")
    return functional.cross_entropy(scores, y, reduction="none")


def _losses_of_drawn_labels(scores: Tensor) -> Tensor:
    """The losses when the model itself draws the labels."""
    if scores.dim() == 1:
        return _losses(scores, torch.bernoulli(scores.detach().sigmoid()))
    return _losses(scores, torch.multinomial(scores.detach().softmax(dim=1), 1).squeeze(1))
