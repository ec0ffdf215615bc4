"""Draw dynamic images and rank scores of rendered clips, as in the README.

`python examples/draw_clips.py --model runs/demo/training/folds/fold2 --output docs/images/example_clips.png`
"""

import argparse
from pathlib import Path

import matplotlib.pyplot as plt
import torch

from modeling_fdp import FDPForVideoClassification
from modeling_fdp.dynamic_image_fdp import dynamic_image_target
from processing_fdp import FDPVideoProcessor
from rendered_faces.film import render_clip

# The first seeds, one emotion each, not chosen by result; rendered corpora use larger seeds.
CLIPS = ((1, "disgust"), (2, "happiness"), (3, "surprise"))
TITLES = ("onset", "apex", "dynamic image\ncomputed from the clip", "dynamic image\nconstructed", "rank scores")


def main() -> None:
    """Render, run the model and draw one row for each clip."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True, help="Folder of a checkpoint trained on `synthetic`.")
    parser.add_argument("--output", type=Path, required=True, help="PNG to write.")
    arguments = parser.parse_args()
    model = FDPForVideoClassification.from_pretrained(arguments.model).eval()
    processor = FDPVideoProcessor.from_pretrained(arguments.model)
    figure, axes = plt.subplots(len(CLIPS), len(TITLES), figsize=(10, 6), layout="constrained")
    for row, (seed, emotion) in zip(axes, CLIPS, strict=True):
        clip = render_clip(subject_seed=seed, emotion=emotion)
        event = clip.truth.events[0]
        # From onset to offset, as in the rows of a corpus.
        frames = torch.from_numpy(clip.frames[event.onset : event.offset + 1])
        pixel_values = processor([frames.unsqueeze(-1)], return_tensors="pt")["pixel_values"]
        with torch.inference_mode():
            output = model(pixel_values)
        target = dynamic_image_target(pixel_values, model.config)
        pictures = (clip.frames[event.onset], clip.frames[event.apex], target[0, 0], output.dynamic_image[0, 0])
        for axis, picture in zip(row[:4], pictures, strict=True):
            axis.imshow(picture, cmap="gray", vmin=0, vmax=1 if picture.max() <= 1 else 255)
            axis.set_xticks([])
            axis.set_yticks([])
        row[0].set_ylabel(f"{emotion}\n(answer: {model.config.id2label[int(output.logits.argmax())]})")
        row[4].plot(output.rank_scores[0], marker="o", color="black")
        row[4].set_box_aspect(1)
        row[4].set_yticks([])
        row[4].set_xlabel("sampled frame")
    for axis, title in zip(axes[0], TITLES, strict=True):
        axis.set_title(title, fontsize=9)
    arguments.output.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(arguments.output, dpi=90)


if __name__ == "__main__":
    main()
