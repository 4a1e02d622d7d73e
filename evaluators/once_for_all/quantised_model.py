"""How fine-tuned, quantised elastic networks are saved small and rebuilt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import cast

from torch import Tensor, nn

from ...spaces.elastic import geometry_of
from ...spaces.elastic_genes import Networks
from ...spaces.named import make_space
from ..fitted_model import ModelKind, SavedModel
from ..image.image_model import ImageFacts, ImageKind
from .integer_network import packed, unpacked
from .network import BottleneckNetwork, Cut
from .quantisation import block_bits


class QuantisedKind(ImageKind):
    """Networks of integers, as `integer_network.folded` gives them.

    The ``shape`` of the facts has ``inputs`` and ``classes``.
    """

    name = "elastic"

    @classmethod
    def rebuild(cls, saved: SavedModel) -> tuple[nn.Module, ModelKind]:
        """The network of the configuration, its weights unpacked.

        Raises:
            DataError: The weights do not fit the architecture.
        """
        facts = ImageFacts(**saved.facts)
        geometry = geometry_of(make_space(facts.space))
        networks = Networks.of(geometry, [facts.config])
        inputs, classes = facts.shape["inputs"], facts.shape["classes"]
        network = BottleneckNetwork(geometry, Cut.of(networks), inputs, classes)
        return unpacked(network, block_bits(networks), saved.weights), cls(facts)

    def weights(self, network: nn.Module) -> Mapping[str, Tensor]:
        """The weights, each with as many bits as it has."""
        return packed(cast(BottleneckNetwork, network))
