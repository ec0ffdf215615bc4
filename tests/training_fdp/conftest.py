"""A corpus of moving squares and a network of a few thousand weights: a run takes a second."""

import dataclasses

import numpy as np
import pytest
import torch
from datasets import Dataset

from evaluation_fdp.protocols import ClipTable
from training_fdp.config import parse_train_config
from training_fdp.data.clips import Clip
from training_fdp.data.corpora import Corpora

CLASS_NAMES = ["negative", "positive", "surprise"]
CORNERS = [(4, 4), (4, 20), (20, 12)]
# Every list of stages and what weighs is stated: a preset may change without changing what these tests train.
TOY_NETWORK = (
    "reference=first_frame_pixels",
    "stem_channels=[4,8]",
    "stem_strides=[2,2]",
    "hidden_sizes=[8,8,8,8]",
    "global_hidden_sizes=[32,48,64,96]",
    "local_depths=[1,1,2,1]",
    "global_depths=[0,0,0,0]",
    "stage_strides=[1,2,2,2]",
    "key_value_strides=[8,4,2,1]",
    "local_head_dim=8",
    "local_mlp_ratio=3.0",
    "feature_size=8",
    "classifier_dropout=0.0",
    "decoder_size=8",
    "dynamic_image_loss_weight=100.0",
    "drop_path_rate=0.2",
)


class ToyClips(list):
    """Clips that were all prepared."""

    lost = ()


def make_toy_clips(num_subjects=5, clips_per_class=1, num_frames=6, size=32, corpus="toy"):
    """Every subject has its own face (noise); what the class decides is where a square grows brighter."""
    clips, subjects = [], []
    for subject in range(num_subjects):
        random = np.random.default_rng(subject)
        face = random.integers(60, 120, (size, size))
        for label, (top, left) in enumerate(CORNERS):
            for repetition in range(clips_per_class):
                frames = np.repeat(face[None], num_frames, axis=0)
                rise = np.linspace(0, 60 + 5 * repetition, num_frames).astype(int)[:, None, None]
                frames[:, top : top + 8, left : left + 8] += rise
                frames += random.integers(-3, 4, frames.shape)
                clips.append(
                    Clip(
                        clip_id=f"{corpus}/s{subject:02d}/{label}/{repetition}",
                        subject=f"s{subject:02d}",
                        pixels=torch.from_numpy(frames.clip(0, 255).astype(np.uint8)),
                        label=label,
                        onset=0,
                        apex=1,
                        offset=num_frames - 1,
                    )
                )
                subjects.append(f"s{subject:02d}")
    table = ClipTable(
        [clip.clip_id for clip in clips],
        [corpus] * len(clips),
        subjects,
        [clip.label for clip in clips],
        CLASS_NAMES,
    )
    return clips, table


@pytest.fixture(autouse=True)
def no_determinism_left_behind():
    """A run sets torch up for its whole process, which goes on to the tests of other rooms that compare bits."""
    yield
    torch.use_deterministic_algorithms(False)
    for allow_kernels in ("enable_flash_sdp", "enable_mem_efficient_sdp", "enable_cudnn_sdp"):
        getattr(torch.backends.cuda, allow_kernels)(True)


@pytest.fixture(scope="session")
def toy_clips():
    return make_toy_clips


@pytest.fixture
def toy_arguments():
    """The command line of a run on the toy corpus, with changes: OUT, then options."""

    def arguments(output_dir, *options):
        length = () if "--epochs" in options else ("--max_steps", "4")
        return [
            *("--corpus", "synthetic", "--output_dir", str(output_dir), "--protocol", "kfold2", *length),
            *("--image_size", "32", "--num_frames", "4", "--batch_size", "6", "--augmentation", "none"),
            *("--no_final_model", "--model_overrides", *TOY_NETWORK),
            *options,
        ]

    return arguments


@pytest.fixture
def toy_corpus(monkeypatch):
    """Puts the toy corpus where a run looks for its clips; call it again to change the clips.

    It codes no action unit, unless `units` names the code of each class; `changed` names others, by row.
    """

    def install(clips=None, table=None, faces=True, units=None, changed=None):
        if clips is None:
            clips, table = make_toy_clips()
        coded = [
            [] if units is None else [{"code": units[label], "side": "", "alternative": 0}] for label in table.labels
        ]
        for row, code in (changed or {}).items():
            coded[row] = [{"code": code, "side": "", "alternative": 0}]
        corpora = Corpora(
            dataset=Dataset.from_dict({"action_units": coded}), table=table, faces_may_be_published=faces
        )
        prepared = ToyClips(
            dataclasses.replace(clip, action_units=tuple(found)) for clip, found in zip(clips, coded, strict=True)
        )
        for place in ("training_fdp.runs.prepare", "training_fdp.data.corpora"):
            monkeypatch.setattr(f"{place}.load_corpora", lambda options: corpora)
        monkeypatch.setattr("training_fdp.runs.prepare.prepare_clips", lambda *arguments, **options: prepared)
        # Prepared above, so that windows are drawn from the clips themselves.
        monkeypatch.setattr("training_fdp.runs.prepare.whole_recordings", lambda dataset: dataset)

    install()
    return install


@pytest.fixture
def toy_run(toy_corpus, toy_arguments, monkeypatch):
    """Runs on the toy corpus in this process: OUT and options, returns the exit code. Its pictures are empty files:
    drawing them takes longer than training, and `test_report.py` draws them.
    """
    monkeypatch.setattr("evaluation_fdp.figures._save", lambda path, size, draw: path.write_bytes(b""))
    from training_fdp.runs.run import run

    def go(output_dir, *options):
        arguments = toy_arguments(output_dir, *options)
        return run(parse_train_config(arguments), arguments)

    return go
