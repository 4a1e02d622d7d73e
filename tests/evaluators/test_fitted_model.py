"""Models that released versions wrote open and predict what they predicted then."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch_geometric.data import Data

from bequest import load_model
from bequest.common.errors import DataError, UnknownNameError

MODELS = Path(__file__).parents[1] / "assets" / "0.1.0" / "models"
BACKBONES = {
    "text": "text",
    "text-lst": "text",
    "text-sparse": "text",
    "tuned-image": "tuned-image",
}
"""Of the models that have one: the folder beside which it lies."""


def inputs_of(folder: Path, expected: dict[str, torch.Tensor]) -> Any:
    """What the stored predictions are of, as `predict` takes it."""
    if (folder / "inputs.json").exists():
        return json.loads((folder / "inputs.json").read_text())
    if "images" in expected:
        return expected["images"].numpy()
    names = ("x", "edge_index", "edge_label_index", "num_nodes")
    parts: dict[str, Any] = {name: expected[name] for name in names if name in expected}
    if "num_nodes" in parts:
        parts["num_nodes"] = int(parts["num_nodes"])
    return Data(**parts)


def opened(folder: Path, name: str) -> Any:
    """The model of a folder; a tuned one on the backbone that is stored beside it."""
    if name not in BACKBONES:
        return load_model(folder)
    return load_model(folder, backbone=str(MODELS / BACKBONES[name] / "backbone"))


@pytest.mark.parametrize("name", sorted(folder.name for folder in MODELS.iterdir()))
def test_a_model_of_the_version_before_predicts_as_it_did(name: str, tmp_path: Path) -> None:
    expected = load_file(str(MODELS / name / "expected.safetensors"))
    inputs = inputs_of(MODELS / name, expected)
    model = opened(MODELS / name, name)
    torch.testing.assert_close(
        model.predict_proba(inputs), expected["probabilities"], rtol=0, atol=1e-6
    )
    predicted = model.predict(inputs)
    if "predicted" in expected:
        torch.testing.assert_close(predicted, expected["predicted"], rtol=0, atol=1e-6)
    else:
        assert predicted == json.loads((MODELS / name / "predicted.json").read_text())

    model.save(tmp_path)
    again = opened(tmp_path, name)
    assert torch.equal(again.predict_proba(inputs), model.predict_proba(inputs))
    written, stored = (
        json.loads((folder / "model.json").read_text()) for folder in (tmp_path, MODELS / name)
    )
    for key in ("kind", "facts", "metrics"):
        assert written[key] == stored[key]
    assert again.metrics == model.metrics == stored["metrics"]


def test_what_is_no_model_of_ours_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no model in .* give the folder that fit_best"):
        load_model(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps({"kind": "imagee"}))
    with pytest.raises(UnknownNameError, match="unknown kind of model 'imagee': did you mean"):
        load_model(tmp_path)
    with pytest.raises(DataError, match="takes no backbone: leave it out"):
        load_model(MODELS / "graph", backbone="minilm")
