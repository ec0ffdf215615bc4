"""Frames that are kept on a card: the same batches, read once, no more than there is room for."""

import dataclasses

import pytest
import torch

from processing_fdp import FDPVideoProcessor
from training_fdp.data.augmentation import AugmentationConfig
from training_fdp.data.batches import ClipBatches
from training_fdp.data.device_frames import DeviceFrames, room_on
from training_fdp.data.options import BatchOptions

CPU = torch.device("cpu")


class Files(list):
    """Clips that count how often each is read."""

    def __init__(self, clips):
        super().__init__(clips)
        self.reads = [0] * len(clips)

    def __getitem__(self, row):
        files, clip = self, super().__getitem__(row)

        class Read(type(clip)):
            @property
            def frames(self):
                files.reads[row] += 1
                return clip.frames

        return Read(**{field.name: getattr(clip, field.name) for field in dataclasses.fields(clip)})


@pytest.mark.parametrize("augmentation", [None, AugmentationConfig(windows=0.5)])
@pytest.mark.parametrize("kept", [0, 1, 3])
def test_batches_are_those_of_the_files(toy_clips, augmentation, kept):
    clips, _ = toy_clips()
    plain = ClipBatches(clips, FDPVideoProcessor(alignment="none", size=32), BatchOptions(), 4, CPU)
    files = Files(clips)
    keeping = ClipBatches(files, plain.processor, BatchOptions(), 4, CPU)
    keeping.frames = DeviceFrames(CPU, kept * clips[0].frames.nbytes)
    for step in range(3):
        expected, found = (
            batches.load([0, 1, 2], None, augmentation, torch.Generator().manual_seed(step))
            for batches in (plain, keeping)
        )
        assert torch.equal(found["pixel_values"], expected["pixel_values"])
        assert torch.equal(found["labels"], expected["labels"])
    assert files.reads[:3] == [1] * kept + [3] * (3 - kept)


def test_a_cpu_keeps_nothing_and_a_card_a_share_of_what_is_free(monkeypatch):
    assert room_on(CPU) == 0
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (80 * 2**30, 81 * 2**30))
    assert room_on(torch.device("cuda", 0)) == 20 * 2**30
