"""A fine-tuned, quantised elastic network: predicts, is saved small, is read again."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from ...spaces.elastic import geometry_of
from ...spaces.elastic_genes import Networks
from ...spaces.named import make_space
from ..image.model import ImageFacts, ImageModel
from ..saved_models import read_model, write_model
from .integer_network import packed, unpacked
from .network import BottleneckNetwork, Cut
from .quantisation import block_bits

KIND = "elastic"


class QuantisedModel(ImageModel):
    """A network of integers.

    Args:
        network: As `integer_network.folded` gives it.
        facts: Its ``shape`` has ``inputs`` and ``classes``.
        metrics: As measured once after the training.
    """

    network: BottleneckNetwork

    def save(self, folder: str | Path) -> None:
        """Write ``model.safetensors``, in which weights have their own bits, and ``model.json``."""
        write_model(folder, KIND, _Packed(packed(self.network)), self.facts, self.metrics)


class _Packed(nn.Module):
    """Tensors as a module's state."""

    def __init__(self, tensors: Mapping[str, Tensor]) -> None:
        super().__init__()
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)


def load_elastic_model(folder: str | Path) -> QuantisedModel:
    """The model that `QuantisedModel.save` wrote. Nothing is unpickled.

    Raises:
        DataError: The weights do not fit the architecture.
    """
    saved = read_model(folder)
    facts = ImageFacts(**saved.facts)
    geometry = geometry_of(make_space(facts.space))
    networks = Networks.of(geometry, [facts.config])
    shape = facts.shape
    network = BottleneckNetwork(geometry, Cut.of(networks), shape["inputs"], shape["classes"])
    return QuantisedModel(
        unpacked(network, block_bits(networks), saved.weights), facts, saved.metrics
    )
