"""The evaluator of fine-tuning configurations on images, on tiny backbones of both kinds."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn
from transformers import BertConfig, BertModel
from typer.testing import CliRunner

from bequest import ImageClassification, Study, load_model
from bequest.cli.app import app
from bequest.common.errors import (
    ArchitectureError,
    DataError,
    EvaluationError,
    SpaceError,
    UnknownNameError,
)
from bequest.evaluators.finetuning.training import TuningBudget
from bequest.evaluators.image.backbones import load_image_backbone
from bequest.evaluators.image.pixels import PixelForm
from bequest.evaluators.image.tuning import ImageTuningEvaluator
from bequest.evaluators.peft.cost import measure
from bequest.evaluators.peft.registry import attach
from bequest.evaluators.peft.space import method_of, peft_space, searchable, usual_methods
from bequest.evaluators.text.backbones import load_backbone
from bequest.testing.peft_methods import train
from tests.evaluators.peft.backbones import SIZES, make_backbone, make_inputs, put

IMAGE_METHODS = [method for method in searchable() if method != "dept"]
SMALL = TuningBudget(epochs=1, examples=30)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random ViT of Hugging Face's, in a folder."""
    place = tmp_path_factory.mktemp("vit")
    model: Any = make_backbone("vit")
    model.save_pretrained(place)
    return str(place)


@pytest.fixture(scope="module", params=["vit", "timm"])
def backbone(request: pytest.FixtureRequest, folder: str) -> str | nn.Module:
    return folder if request.param == "vit" else make_backbone("timm")


def images_of(labels: np.ndarray, channels: int = 1) -> np.ndarray:
    """Noise, 12 x 12, with a bright pattern that is the class: rows, columns, or everywhere."""
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 90, (len(labels), channels, 12, 12))
    stripes = np.arange(12) % 6 < 3
    rows = np.broadcast_to(stripes[:, None], (12, 12))
    patterns = np.stack([rows, rows.T, np.ones((12, 12), dtype=bool)])
    return (noise + 150 * patterns[labels][:, None]).astype(np.uint8)


def make_task(channels: int = 1, count: int = 90) -> ImageClassification:
    labels = np.arange(count) % 3
    return ImageClassification(images_of(labels, channels), labels, name="bright")


@pytest.fixture(scope="module")
def task() -> ImageClassification:
    return make_task()


def config(method: str, **changes: Any) -> Any:
    space = peft_space(4, [method])
    return space.validate({**space.sample(np.random.default_rng(1)), **changes})


# Methods ------------------------------------------------------------------------------------------


def test_the_space_holds_what_fits(task: ImageClassification, backbone: str | nn.Module) -> None:
    space = ImageTuningEvaluator(task, backbone, budget=SMALL).space
    offered = {method_of(space.sample(np.random.default_rng(i))).method for i in range(200)}
    # timm projects to query, key and value at once: IA3 cannot scale two of them.
    assert offered == set(usual_methods()) - {"dept"} - (
        set() if isinstance(backbone, str) else {"ia3"}
    )
    with pytest.raises(ArchitectureError, match="'dept' changes word embeddings"):
        ImageTuningEvaluator(task, backbone, budget=SMALL, methods=["probe", "dept"])


@pytest.mark.parametrize("method", IMAGE_METHODS)
def test_every_method_trains(
    task: ImageClassification, backbone: str | nn.Module, method: str
) -> None:
    if method == "ia3" and not isinstance(backbone, str):
        pytest.skip("not on a fused projection")
    space = peft_space(4, [method])
    evaluator = ImageTuningEvaluator(task, backbone, budget=SMALL, space=space)
    given = config(method) if method == "probe" else config(method, batch=8, head_init="random")
    outcome = evaluator(given, seed=0)
    assert 0 <= outcome.value <= 1
    assert np.isfinite(list(outcome.metrics.values())).all()
    assert {"test_accuracy", "training_flops", "activation_bytes"} <= set(outcome.metrics)
    if method != "probe":
        assert moved(evaluator, given)


def moved(evaluator: ImageTuningEvaluator, given: Any) -> list[str]:
    """What a training has changed in the method, by name."""
    trained: Any = evaluator.fit(given, seed=0).network
    choice = method_of(given)
    with torch.random.fork_rng():
        torch.default_generator.manual_seed(0)  # as the training began
        model = copy.deepcopy(evaluator.backbone.model)
        fresh = attach(model, choice.method, layer_lo=choice.layer_lo, **choice.knobs)
    before = dict(fresh.named_parameters())
    after = trained.handle.named_parameters()
    return [name for name, value in after if not torch.equal(value, before[name])]


@pytest.mark.parametrize("method", IMAGE_METHODS)
def test_every_method_reaches_all_that_it_trains(method: str) -> None:
    handle = put(method, make_backbone("vit"))
    losses, reached = train(handle, make_inputs("vit"), steps=32)
    assert min(losses[-6:]) < losses[0]
    assert not [name for name, _ in handle.named_parameters() if name not in reached]


def test_what_can_be_learned_is_learned(
    task: ImageClassification, backbone: str | nn.Module
) -> None:
    budget = TuningBudget(epochs=8, examples=None)
    evaluator = ImageTuningEvaluator(task, backbone, budget=budget, methods=["lora"])
    rates = {"learning_rate_lora": 5e-3, "lora_where": "all", "layer_lo": 0, "batch": 8}
    outcome = evaluator(config("lora", head_init="random", head_rate=2.0, **rates), seed=0)
    assert outcome.value > 0.8


@pytest.mark.parametrize("method", ["lora", "lst", "prompt"])
def test_the_same_seed_gives_the_same_outcome(
    task: ImageClassification, backbone: str | nn.Module, method: str
) -> None:
    found = []
    for _ in range(2):
        evaluator = ImageTuningEvaluator(task, backbone, budget=SMALL, methods=[method])
        metrics = evaluator(config(method), seed=5).metrics
        found.append({k: v for k, v in metrics.items() if k != "seconds"})
    assert found[0] == found[1]


def test_kept_states_say_what_the_backbone_says(
    task: ImageClassification, backbone: str | nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = ImageTuningEvaluator(task, backbone, budget=SMALL, methods=["lst"])
    wanted = evaluator(config("lst"), seed=0).metrics["validation_loss"]
    monkeypatch.setattr("bequest.evaluators.finetuning.batches.STATES_LIMIT", 0)
    found = evaluator(config("lst"), seed=0).metrics["validation_loss"]
    assert found == pytest.approx(wanted, abs=1e-4)


def test_the_given_module_stays_as_it_is(task: ImageClassification) -> None:
    module = make_backbone("timm")
    before = {name: value.clone() for name, value in module.state_dict().items()}
    evaluator = ImageTuningEvaluator(task, module, budget=SMALL, methods=["full"])
    evaluator(config("full", learning_rate_full=5e-4), seed=0)
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter.requires_grad for parameter in module.parameters())


# Models -------------------------------------------------------------------------------------------


def test_a_study_ends_with_a_model_that_is_saved(
    task: ImageClassification, folder: str, tmp_path: Path
) -> None:
    evaluator = ImageTuningEvaluator(task, folder, budget=SMALL)
    study = Study(evaluator, sampler="random", storage="memory", tracking=False, bank=False)
    study.run(trials=2, progress=False)
    model: Any = study.fit_best(folder=str(tmp_path / "model"))
    again: Any = load_model(tmp_path / "model")
    images = task.images[:7]
    assert torch.equal(again.predict(images), model.predict(images))
    assert torch.allclose(again.predict_proba(images), model.predict_proba(images), atol=1e-6)
    assert torch.equal(again.predict(images[:, 0]), model.predict(images))
    with pytest.raises(DataError, match="images of 1 channels"):
        again.predict(np.zeros((2, 3, 12, 12)))
    assert "test_accuracy" in again.metrics


def test_a_model_on_a_module_needs_the_module(task: ImageClassification, tmp_path: Path) -> None:
    module = make_backbone("timm")
    evaluator = ImageTuningEvaluator(task, module, budget=SMALL, methods=["lora"])
    model = evaluator.fit(config("lora"), seed=0, train_on_validation=True)
    assert not any(name.startswith("validation") for name in model.metrics)
    model.save(tmp_path)
    with pytest.raises(ArchitectureError, match="TimmLike that has no name: read it with load_mod"):
        load_model(tmp_path)
    again: Any = load_model(tmp_path, backbone=module)
    images = task.images[:5]
    assert torch.allclose(again.predict_proba(images), model.predict_proba(images), atol=1e-6)
    with torch.no_grad():
        module.get_parameter("norm.weight").mul_(2)
    with pytest.raises(ArchitectureError, match="other weights"):
        load_model(tmp_path, backbone=module)


def test_modules_are_told_apart_by_their_weights(task: ImageClassification) -> None:
    one, other = make_backbone("timm"), make_backbone("timm")
    with torch.no_grad():
        other.get_parameter("norm.weight").mul_(2)
    found = [
        ImageTuningEvaluator(task, module, budget=SMALL, methods=["probe"]).conditions["backbone"]
        for module in (one, other, copy.deepcopy(one))
    ]
    assert found[0] == found[2] != found[1]
    assert all(name.startswith("TimmLike ") for name in found)


def test_a_model_on_a_folder_knows_its_weights(
    task: ImageClassification, folder: str, tmp_path: Path
) -> None:
    place = tmp_path / "backbone"
    shutil.copytree(folder, place)
    evaluator = ImageTuningEvaluator(task, str(place), budget=SMALL, methods=["probe"])
    evaluator.fit(config("probe"), seed=0).save(tmp_path / "model")
    moved = place.rename(tmp_path / "moved")
    load_model(tmp_path / "model", backbone=str(moved))
    other = load_image_backbone(folder).model
    with torch.no_grad():
        next(other.parameters()).add_(1)
    other.save_pretrained(place)
    with pytest.raises(ArchitectureError, match="with other weights"):
        load_model(tmp_path / "model", backbone=str(place))


def test_workers_get_an_evaluator(task: ImageClassification, backbone: str | nn.Module) -> None:
    evaluator = ImageTuningEvaluator(task, backbone, budget=SMALL, methods=["probe"])
    wanted = evaluator(config("probe"), seed=0).value
    sent = cloudpickle.loads(cloudpickle.dumps(evaluator))
    assert sent(config("probe"), seed=0).value == wanted


# Costs and fingerprints ---------------------------------------------------------------------------


def test_limits_shape_the_space_and_refuse(
    task: ImageClassification, backbone: str | nn.Module
) -> None:
    some = ["probe", "lora", "prompt", "lst"]
    free = ImageTuningEvaluator(task, backbone, budget=SMALL, methods=some)
    most = free.cost(free.space.defaults[1]).memory / 2
    tight = ImageTuningEvaluator(
        task, backbone, budget=SMALL, methods=some, limits={"memory": most}
    )
    for seed in range(30):
        choice = method_of(tight.space.sample(np.random.default_rng(seed)))
        assert choice.method != "prompt"
        assert choice.method != "lora" or choice.layer_lo >= 2
    tight.space = free.space
    with pytest.raises(EvaluationError, match="not trained: memory"):
        tight(free.space.defaults[1], seed=0)
    with pytest.raises(SpaceError, match="no method meets the limit flops=1"):
        ImageTuningEvaluator(task, backbone, budget=SMALL, limits={"flops": 1.0})
    with pytest.raises(UnknownNameError, match="did you mean 'memory'"):
        ImageTuningEvaluator(task, backbone, budget=SMALL, limits={"memry": 1.0})


def test_the_cost_is_that_of_a_batch(task: ImageClassification, backbone: str | nn.Module) -> None:
    evaluator = ImageTuningEvaluator(task, backbone, budget=SMALL, methods=["lora"])
    given = config("lora", lora_where="qv", lora_rank=8, layer_lo=0, batch=16)
    pixels = evaluator.prepared(0).parts["train"]
    handle = attach(evaluator.backbone.model, "lora")
    measured = measure(handle, pixels.inputs(range(16), evaluator.device))
    handle.remove()
    assert evaluator.cost(given).memory == pytest.approx(measured.memory, rel=0.01)


def test_fingerprints_describe_a_task(task: ImageClassification, folder: str) -> None:
    (found,) = ImageTuningEvaluator(task, folder, budget=SMALL).fingerprints().values()
    assert len(found) == 9
    assert found[1] == pytest.approx(np.log10(3))
    assert np.isfinite(found).all()


# Pixels -------------------------------------------------------------------------------------------


def test_grey_is_repeated_resized_and_standardised(task: ImageClassification, folder: str) -> None:
    form = PixelForm.of(load_image_backbone(folder), task.images)
    found = form(torch.from_numpy(task.images))
    assert found.shape == (90, 3, 32, 32)
    assert torch.equal(found[:, 0], found[:, 2])
    assert abs(float(found.mean())) < 0.05
    assert float(found.std()) == pytest.approx(1, abs=0.3)  # smoother than before


def test_the_backbones_own_scale_is_taken(folder: str, tmp_path: Path) -> None:
    make: Any = make_backbone("vit")
    make.save_pretrained(tmp_path)
    said = {"image_mean": [0.5, 0.4, 0.3], "image_std": [0.5, 0.5, 0.25]}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said))
    backbone = load_image_backbone(str(tmp_path))
    bytes_ = np.zeros((10, 3, 32, 32), dtype=np.uint8)
    bytes_[:, :, 0, 0] = 255
    wanted = torch.tensor([[1.0, 1.2, 2.8], [-1.0, -0.8, -1.2]])
    for images in (bytes_, bytes_ / 255, bytes_ / 255 * 16):
        found = PixelForm.of(backbone, images)(torch.from_numpy(images))
        assert torch.allclose(found[0, :, 0, :2].T, wanted, atol=1e-5)


def test_a_module_without_a_size_takes_whole_patches(task: ImageClassification) -> None:
    form = PixelForm.of(load_image_backbone(make_backbone("timm")), task.images)
    assert (form.height, form.width) == (16, 16)


# Errors -------------------------------------------------------------------------------------------


def test_a_backbone_of_texts_is_refused(task: ImageClassification, tmp_path: Path) -> None:
    BertModel(BertConfig(vocab_size=9, **SIZES)).save_pretrained(tmp_path)
    with pytest.raises(ArchitectureError, match=r"\(BertModel\) takes texts, and images are to be"):
        ImageTuningEvaluator(task, str(tmp_path))


def test_a_backbone_of_images_is_refused_for_texts(folder: str) -> None:
    with pytest.raises(ArchitectureError, match=r"\(ViTModel\) takes images, and texts are to be"):
        load_backbone(folder)


def test_backbones_that_do_not_fit(
    task: ImageClassification, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ArchitectureError, match="no list of transformer blocks"):
        ImageTuningEvaluator(task, nn.Sequential(nn.Conv2d(3, 4, 2)))
    with pytest.raises(DataError, match="'/nowhere/at/all' cannot be loaded: give a folder"):
        ImageTuningEvaluator(task, "/nowhere/at/all")
    four = make_task(channels=4)
    with pytest.raises(ArchitectureError, match="takes images of 3 channels, and there are 4"):
        ImageTuningEvaluator(four, make_backbone("timm"))


def test_too_few_images(task: ImageClassification) -> None:
    with pytest.raises(DataError, match="no image of class . among 2 training images"):
        ImageTuningEvaluator(task, make_backbone("timm"), budget=TuningBudget(examples=2))


# By name ------------------------------------------------------------------------------------------


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["search", "digits", "--space", "peft", *arguments])


def test_the_command_line(folder: str) -> None:
    asked = ["--trials", "2", "--epochs", "1", "--examples", "40", "--json", "--no-mlflow"]
    done = run("--backbone", folder, "--limit", "parameters=5k", *asked)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert found["trials"] == {"complete": 2}
    assert 0 < found["test"]["test_accuracy"] <= 1
    assert load_model(found["model"]).predict(np.zeros((2, 8, 8))).shape == (2,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "needs a backbone"),
        (["--size", "16", "--backbone", "x"], "takes no --size"),
        (["--images", "16", "--backbone", "x"], "--examples counts training examples"),
    ],
)
def test_the_command_line_says_what_is_missing(arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert done.exit_code != 0
    assert message in " ".join(done.output.split()) + str(done.exception)
