"""Writes seeded_forward.json beside this file: what each preset returns right after a seeded start, and its version.

    python tests/artifacts/make_seeded_forward.py

Weights are drawn by the model itself, so that a changed initialisation shows as well. Where a preset's numbers moved,
the file is only written anew after FDPMethod.version was raised: runs of two networks must never be mixed.
"""

import json
import sys
from pathlib import Path

import torch

FILE = Path(__file__).resolve().parent / "seeded_forward.json"
# What may differ between machines and releases of torch, in parts of an output's largest value: rounding follows the
# size of the terms of a sum, and `paper` sums terms of 1e5 to logits of 4e3.
TOLERANCE = 2e-4


def forms() -> dict[str, tuple[str, dict]]:
    """Presets, and what no preset takes and runs may: name to preset and overrides."""
    from modeling_fdp.presets_fdp import PRESETS

    patterns = {"reference": "movement_patterns", "dynamic_image_frames": "along_curve"}
    return {**{preset: (preset, {}) for preset in PRESETS}, "tiny_movement_patterns": ("tiny", patterns)}


def seeded_forward(form: str) -> dict[str, list[float]]:
    """A few numbers per output of one form, for two clips given by a formula."""
    from modeling_fdp import FDPConfig, FDPForVideoClassification

    preset, overrides = forms()[form]
    torch.manual_seed(0)
    model = FDPForVideoClassification(FDPConfig.from_preset(preset, **overrides, num_labels=3)).eval()
    side = model.config.image_size
    rows = torch.arange(side)[:, None] / side
    times = torch.arange(model.config.num_frames)[:, None, None] / model.config.num_frames
    clip = 0.5 * torch.sin(9 * rows.T) * torch.cos(7 * rows) - 0.4 * torch.exp(
        -(((rows - 0.3 - 0.1 * times) / 0.05) ** 2)
    )
    pixel_values = torch.stack([clip, clip.flip(-1) * 0.8])[:, :, None]
    with torch.no_grad():
        outputs = model(pixel_values, labels=torch.tensor([0, 2]))
    image = outputs.dynamic_image.flatten(1)
    answers = {
        "logits": outputs.logits,
        "rank_scores": outputs.rank_scores[:, :: max(1, outputs.rank_scores.shape[1] // 4)],
        "dynamic_image": torch.stack([image.mean(1), image.std(1)]),
        "losses": torch.stack([outputs.losses[name] for name in sorted(outputs.losses)]),
    }
    return {name: [round(float(value), 6) for value in answer.flatten()] for name, answer in answers.items()}


def scale(values: list[float]) -> float:
    """The largest value of an output, 1 at least."""
    return max(1.0, *map(abs, values))


def moved(stored: dict, found: dict) -> list[str]:
    """Names of the outputs in which two records of one preset differ by more than machines do."""
    return [
        name
        for name in sorted(set(stored) | set(found))
        if len(stored.get(name, ())) != len(found.get(name, ()))
        or max(abs(a - b) for a, b in zip(stored[name], found[name], strict=True)) > TOLERANCE * scale(stored[name])
    ]


def main() -> int:
    """Writes the file, or says which preset moved without a new version."""
    from training_fdp.methods.fdp import FDPMethod

    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"version": 0, "forms": {}}
    found = {form: seeded_forward(form) for form in forms()}
    changed = [name for name, stored in known["forms"].items() if name not in found or moved(stored, found[name])]
    if changed and known["version"] == FDPMethod.version:
        sys.stderr.write(f"{', '.join(changed)} moved: raise FDPMethod.version first and list it in CHANGELOG.md.\n")
        return 1
    content = {"version": FDPMethod.version, "forms": found}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(FILE.parents[2]))
    sys.exit(main())
