"""What the model card of a checkpoint says."""

import re
from dataclasses import replace

import jinja2
import jinja2.meta
import numpy as np
import pytest
import yaml

from evaluation_fdp.metrics import METRICS
from evaluation_fdp.results import Results
from hub_datasets import get_builder_class
from tests.scripts.publications import REPO_ID, edit_json
from training_fdp.errors import PublishError
from training_fdp.hub import model_card
from training_fdp.hub.model_card import TEMPLATE, CardSubject, card_fields, public_command
from training_fdp.hub.publish import prepare_publication


def card_metadata(card):
    return yaml.safe_load(card.split("---")[1])


def headline_figures(card):
    evaluations = card_metadata(card)["model-index"][0]["results"]
    return {metric["name"].split(",")[0]: metric["value"] for item in evaluations for metric in item["metrics"]}


def test_a_checkpoint_of_another_name_is_not_called_one_of_the_folds(checkpoint):
    other = checkpoint.with_name("something_else")
    checkpoint.rename(other)
    card = " ".join(prepare_publication(other, REPO_ID).card.split())
    assert "no model behind the figures has this name" in card
    assert "one of the models behind the figures" not in card


def test_the_card_carries_the_pooled_figures_and_never_those_chosen_on_the_test_subject(checkpoint, results):
    card = prepare_publication(checkpoint, REPO_ID).card
    pooled = results["metrics"]
    figures = headline_figures(card)
    assert set(figures) == {metric.title for metric in METRICS.values()}
    assert figures == pytest.approx(
        figures
        | {
            "UF1": pooled["uf1"],
            "UAR": pooled["uar"],
            "Accuracy": pooled["accuracy"],
            "Weighted F1": pooled["f1_weighted"],
        }
    )
    assert f"| UF1 | {pooled['uf1']:.3f} |" in card
    assert "best_on_test_subject" not in card
    assert "0.988" not in card and "0.98765" not in card
    # 8 of the 20 clips are the most frequent class; always answering it recalls one class of three.
    assert re.search(r"\| Accuracy \| 0\.700 \| 0\.\d{3} to 0\.\d{3} \| 0\.400 \|", card)
    assert re.search(r"\| UAR \| 0\.708 \| 0\.\d{3} to 0\.\d{3} \| 0\.333 \|", card)
    assert "0.111" not in card and "0.999" not in card, "intervals are computed from the predictions"
    assert "**happiness** | 6 | 1 | 1 |" in card
    assert "fold `3` (16 clips for training, 4 held out)" in card


def test_the_card_is_plain_yaml_without_python_objects(checkpoint):
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "!!python" not in card
    metadata = card_metadata(card)
    assert metadata["pipeline_tag"] == "video-classification"
    assert metadata["library_name"] == "transformers"
    assert metadata["license"] == "apache-2.0"


def test_rendered_faces_are_called_synthetic_and_licensed_ones_are_not_open(checkpoint, tmp_path):
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "synthetic-data" in card_metadata(card)["tags"]
    assert "nothing about real faces" in card
    edit_json(tmp_path / "OUT" / "results.json", corpus=["casme2"], synthetic=False)
    licensed = prepare_publication(checkpoint, "tester/fdp").card
    assert "ynthetic" not in licensed
    assert card_metadata(licensed)["license"] == "other"
    edit_json(tmp_path / "OUT" / "results.json", synthetic=True)
    assert "casme2 (synthetic faces)" in prepare_publication(checkpoint, REPO_ID).card
    edit_json(tmp_path / "OUT" / "results.json", synthetic=False, corpus=["synthetic"], test_corpus=["samm"])
    crossed = prepare_publication(checkpoint, REPO_ID).card
    assert "synthetic faces, tested on samm" in crossed and "Each clip of synthetic was rendered" in crossed
    assert card_metadata(crossed)["license"] == "other"


def test_the_card_tells_no_place_on_the_disk(checkpoint, tmp_path):
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "alice" not in card and str(tmp_path) not in card
    assert "--data_dir DATA_DIR --output_dir OUT --seed 0" in card


@pytest.mark.parametrize(
    ("alignment", "says", "never_says"),
    [
        ("none", "finds and crops no face", "landmarks.parquet"),
        ("precomputed", "`landmarks.csv` beside the clip", "finds and crops"),
        ("dlib", "finds and crops the face with the backend `dlib`", "landmarks.csv"),
    ],
)
def test_the_card_says_who_crops_the_face(checkpoint, alignment, says, never_says):
    edit_json(checkpoint / "video_preprocessor_config.json", alignment=alignment)
    card = " ".join(prepare_publication(checkpoint, REPO_ID).card.split())
    assert says in card and never_says not in card
    assert "shows the cropped" not in card and "show the cropped" not in card


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("", ""),
        ("train.py --data_dir=/home/a --seed 1", "train.py --data_dir=DATA_DIR --seed 1"),
        ("train.py --corpus a b --data_dir /a b --seed 1", "train.py --corpus a b --data_dir DATA_DIR --seed 1"),
        (
            "train.py --corpus_options seed=1 face_model=/home/alice/faces --processor_overrides landmarks_path=~/a",
            "train.py --corpus_options seed=1 face_model=faces --processor_overrides landmarks_path=a",
        ),
        ("train.py --data-dir private/people --init-from=a/b", "train.py --data_dir DATA_DIR --init_from=INIT_FROM"),
        (["/opt/venv/bin/accelerate", "launch", "train.py", "--data_dir", "../faces"], None),
    ],
)
def test_public_command(command, expected):
    assert public_command(command) == (
        expected or ("" if not command else "accelerate launch train.py --data_dir DATA_DIR")
    )


def test_a_final_model_is_told_from_the_benchmarked_ones(checkpoint):
    final = checkpoint.parent.parent / "final"
    checkpoint.rename(final)
    assert "trained on all subjects" in prepare_publication(final, REPO_ID).card


def test_whose_face_model_was_rendered_is_said(checkpoint, tmp_path):
    assert "ICT-FaceKit" not in prepare_publication(checkpoint, REPO_ID).card
    edit_json(tmp_path / "OUT" / "results.json", settings={"corpus_options": ["face_model=/home/alice/model"]})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "ICT-FaceKit (ICT-VGL, MIT licence)" in card and "alice" not in card


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"missing_folds": {"1": "not run", "2": "failed"}}, "2 folds are missing"),
        ({"warnings": ["a class has no clip"]}, "a class has no clip"),
        ({"settings": {"normalization": "train_statistics"}}, "`normalization=train_statistics`"),
        ({"settings": {"released_test_statistics": True}}, "contain a leak"),
    ],
)
def test_what_weakens_the_figures_stands_before_them(checkpoint, tmp_path, changes, sentence):
    assert sentence not in prepare_publication(checkpoint, REPO_ID).card
    edit_json(tmp_path / "OUT" / "results.json", **changes)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert card.index(sentence) < card.index("| UF1 |")


def test_several_seeds_give_mean_and_deviation(checkpoint, results, metrics_by_hand, predictions_of, tmp_path):
    better = [[7, 1, 0], [1, 6, 1], [0, 0, 4]]
    first = results["per_seed"][0]
    second = first | {"seed": 1, "confusion_matrix": better, **metrics_by_hand(better)}
    mean = {name: (first[name] + second[name]) / 2 for name in metrics_by_hand(better)}
    summed = (np.array(better) + np.array(results["confusion_matrix"])).tolist()
    path = tmp_path / "OUT" / "results.json"
    edit_json(path, per_seed=[first, second], metrics=results["metrics"] | mean, confusion_matrix=summed, seeds=[0, 1])
    predictions_of(path.parent, results["confusion_matrix"], better)
    card = prepare_publication(checkpoint, REPO_ID).card
    # 0.7 and 0.85: their sample deviation is 0.15 / sqrt(2).
    assert "| Accuracy | 0.775 ± 0.106 |" in card
    assert "pool 20 held-out clips" in card
    edit_json(path, metrics=results["metrics"] | {"uf1": 0.912, "accuracy": 0.913})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "| Accuracy | 0.775 ± 0.106 |" in card and "0.912" not in card and "0.913" not in card


def test_without_results_the_card_claims_nothing(checkpoint, tmp_path):
    (tmp_path / "OUT" / "results.json").unlink()
    with pytest.raises(PublishError, match=r"has no results\.json.*--without_results"):
        prepare_publication(checkpoint, REPO_ID)
    publication = prepare_publication(checkpoint, REPO_ID, without_results=True)
    assert publication.results is None
    assert "model-index" not in publication.card
    assert "without any measured figure" in publication.card


def test_without_predictions_there_is_no_interval(checkpoint, tmp_path):
    (tmp_path / "OUT" / "predictions.csv").unlink()
    assert re.search(r"\| UF1 \| 0\.\d{3} \| not computed \|", prepare_publication(checkpoint, REPO_ID).card)


def template_fields():
    """Every name that the template reads."""
    return jinja2.meta.find_undeclared_variables(jinja2.Environment().parse(TEMPLATE.read_text())) - {"card_data"}


@pytest.mark.parametrize("state", ["measured", "nobody held out", "no results"])
def test_every_field_of_the_template_is_filled_in_every_case(checkpoint, results, state):
    measured = Results.from_dict(results)
    runs = {"measured": measured, "nobody held out": replace(measured, benchmark=None), "no results": None}
    fields = card_fields(CardSubject(REPO_ID, "3", tuple(results["class_names"]), "fdp"), runs[state])
    assert set(fields) == template_fields()


def test_a_field_that_nobody_fills_is_an_error_and_no_blank(checkpoint, monkeypatch, tmp_path):
    misspelled = tmp_path / "card.md"
    misspelled.write_text(TEMPLATE.read_text().replace("{{ protocol_sentence }}", "{{ protocol_sentense }}"))
    monkeypatch.setattr(model_card, "TEMPLATE", misspelled)
    with pytest.raises(jinja2.UndefinedError, match="protocol_sentense"):
        prepare_publication(checkpoint, REPO_ID)


def test_the_model_index_says_what_a_figure_is_compared_by(checkpoint, results):
    (entry,) = card_metadata(prepare_publication(checkpoint, REPO_ID).card)["model-index"]
    assert len(entry["results"]) == 1, "one data set with all metrics"
    (measured,) = entry["results"]
    assert measured["dataset"]["args"] == {
        "protocol": "kfold5", "label_set": "3class", "num_clips": 20, "num_subjects": 5,
    }  # fmt: skip
    for metric in measured["metrics"]:
        low, high = metric["args"]["interval_95_over_subjects"]
        assert 0 <= low <= metric["value"] <= high <= 1
        assert metric["args"]["seeds"] == [0] and metric["args"]["selection"] == "fixed"


def test_the_card_names_pages_citations_and_terms_of_the_corpora(checkpoint, tmp_path):
    path = tmp_path / "OUT" / "results.json"
    edit_json(path, corpus=["casme2", "samm", "of_my_own"], synthetic=False)
    card = prepare_publication(checkpoint, REPO_ID).card
    for name in ("casme2", "samm"):
        builder_class = get_builder_class(name)
        assert builder_class.ACCESS_PAGE in card and builder_class.CITATION in card
    assert card.count("check the terms that you signed") == 1, "SAMM's"
    assert "a few dozen people each" in card and "represent no population" not in card
    edit_json(path, corpus=["synthetic"], synthetic=True)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "represent no population" in card and "check the terms" not in card and "shao2025fdp" in card


def test_the_lineage_of_a_checkpoint_from_the_hub_is_on_its_card(checkpoint, tmp_path):
    path = tmp_path / "OUT" / "results.json"
    assert "base_model" not in card_metadata(prepare_publication(checkpoint, REPO_ID).card)
    start = {"name": "someone/fdp-start", "sha256": "ab" * 32, "new_classes": ["fear"]}
    edit_json(path, init_from=start)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert card_metadata(card)["base_model"] == "someone/fdp-start"
    assert card_metadata(card)["base_model_relation"] == "finetune"
    assert "https://huggingface.co/someone/fdp-start" in card and "New classes: fear" in card
    # The name of a folder is no repository.
    edit_json(path, init_from=start | {"name": "final"})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert "base_model" not in card_metadata(card) and "started from final (" in card


@pytest.mark.parametrize(
    ("method", "model_type", "said", "unsaid"),
    [
        ("fdp", "fdp", ("FDP (fine-grained", "shao2025fdp", "## Differences from the paper"), ()),
        ("fdp_released", "fdp", ("as released", "Without the leaks"), ("`paper_tiny`",)),
        (
            "motion_cnn",
            "fdp_motion_cnn",
            ("FDP's motion channels + CNN", "No publication is recorded"),
            ("shao2025fdp",),
        ),
        (None, "fdp_motion_cnn", ("FDP's motion channels + CNN",), ("shao2025fdp",)),
        ("somebody.else:Method", "unheard_of", ("A network of type `unheard_of`",), ("shao2025fdp", "Differences")),
    ],
)
def test_the_card_speaks_of_the_method_of_the_run(checkpoint, tmp_path, method, model_type, said, unsaid):
    edit_json(checkpoint / "config.json", model_type=model_type)
    edit_json(tmp_path / "OUT" / "results.json", settings={} if method is None else {"method": method})
    card = prepare_publication(checkpoint, REPO_ID).card
    assert all(text in card for text in said) and not any(text in card for text in unsaid)
    assert model_type in card_metadata(card)["tags"]


def test_the_card_pins_a_revision(checkpoint):
    card = prepare_publication(checkpoint, REPO_ID, revision="fold-3").card
    assert 'revision = "fold-3"' in card and card.count("revision=revision") >= 1
    assert "hash of the commit" in " ".join(card.split())


def test_the_card_shows_the_pipelines_of_the_checkpoint(checkpoint):
    assert prepare_publication(checkpoint, REPO_ID).card.count("pipeline(") == 1
    tasks = {"video-classification": {}, "of-its-own": {}}
    edit_json(checkpoint / "config.json", custom_pipelines=tasks)
    card = prepare_publication(checkpoint, REPO_ID).card
    assert card.count('pipeline("video-classification"') == 1 and card.count('pipeline("of-its-own"') == 1
