"""transformers' own Trainer: gradients that do not depend on accumulation, and an evaluation by labels alone."""

import pytest
import torch
from transformers import Trainer, TrainingArguments

NUM_CLIPS = 8


@pytest.fixture
def examples(clips):
    return [{"pixel_values": clip, "labels": index % 3} for index, clip in enumerate(clips(NUM_CLIPS))]


def settings(folder, **changes):
    return TrainingArguments(
        output_dir=str(folder),
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_strategy="steps",
        logging_steps=1,
        disable_tqdm=True,
        dataloader_num_workers=0,
        **changes,
    )


def test_accumulated_gradients_are_those_of_one_large_batch(small_model, examples, tmp_path, monkeypatch):
    model = small_model("tiny", num_labels=3)
    # Batch norm would normalise two clips and eight differently: the statistics stay those of the fixture.
    monkeypatch.setattr(model, "train", lambda mode=True: model)
    norms = {}
    for size, steps in ((8, 1), (2, 4)):
        arguments = settings(
            tmp_path,
            per_device_train_batch_size=size,
            gradient_accumulation_steps=steps,
            max_steps=1,
            learning_rate=0.0,
            weight_decay=0.0,
        )
        trainer = Trainer(model=model, args=arguments, train_dataset=examples)
        trainer.train()
        norms[size] = next(entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry)
    assert norms[8] > 0 and norms[2] == pytest.approx(norms[8], rel=1e-3)


def test_evaluation_with_labels_alone_gives_a_loss_and_metrics(small_model, examples, tmp_path):
    model = small_model("tiny", num_labels=3)
    seen = {}

    def accuracy(prediction):
        logits = prediction.predictions[0]
        seen["shape"], seen["labels"] = logits.shape, prediction.label_ids.tolist()
        return {"accuracy": float((logits.argmax(-1) == prediction.label_ids).mean())}

    arguments = settings(tmp_path, per_device_eval_batch_size=4)
    trainer = Trainer(model=model, args=arguments, eval_dataset=examples, compute_metrics=accuracy)
    metrics = trainer.evaluate()
    with torch.no_grad():
        outputs = model(
            torch.stack([example["pixel_values"] for example in examples]),
            labels=torch.tensor([example["labels"] for example in examples]),
        )
    assert metrics["eval_loss"] == pytest.approx(float(outputs.loss), rel=1e-4)
    assert 0 <= metrics["eval_accuracy"] <= 1
    assert seen == {"shape": (NUM_CLIPS, 3), "labels": [index % 3 for index in range(NUM_CLIPS)]}
