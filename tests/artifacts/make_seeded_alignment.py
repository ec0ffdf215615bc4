"""Writes seeded_alignment.json beside this file: what each form of the alignment returns right after a seeded start.

    python -m tests.artifacts.make_seeded_alignment

Where numbers moved, the file is only written anew after MERCLIPMethod.version was raised.
"""

import json
import sys
from pathlib import Path

import torch

FILE = Path(__file__).resolve().parent / "seeded_alignment.json"
# Presets whose tokens differ in kind, with every text tower once. Text towers do not depend on the preset.
FORMS = {
    "tiny_table": ("tiny", "table"),
    "tiny_transformer": ("tiny", "transformer"),
    "tiny_pretrained": ("tiny", "pretrained"),
    "small_table": ("small", "table"),
    "paper_tiny_table": ("paper_tiny", "table"),
}
TOLERANCE = 2e-4


def seeded_alignment(form: str) -> dict[str, list[float]]:
    """A few numbers per output of one form, for two clips given by a formula."""
    from modeling_fdp import FDPAlignmentConfig, FDPForVideoTextAlignment
    from modeling_fdp.answer_fdp import ACTION_UNIT_NAMES

    preset, tower = FORMS[form]
    torch.manual_seed(0)
    config = FDPAlignmentConfig.from_preset(
        preset,
        text_tower=tower,
        phrase_vector_size=8 if tower == "pretrained" else 0,
        action_units=list(ACTION_UNIT_NAMES),
        action_unit_phrases=list(ACTION_UNIT_NAMES.values()),
        action_unit_sets=["1+2", "L12", "4+7"],
        num_labels=3,
    )
    model = FDPForVideoTextAlignment(config)
    if tower == "pretrained":
        model.text_tower.vectors.normal_()
    model.eval()
    side = config.image_size
    rows = torch.arange(side)[:, None] / side
    times = torch.arange(config.num_frames)[:, None, None] / config.num_frames
    clip = 0.5 * torch.sin(9 * rows.T) * torch.cos(7 * rows) - 0.4 * torch.exp(
        -(((rows - 0.3 - 0.1 * times) / 0.05) ** 2)
    )
    with torch.no_grad():
        outputs = model(torch.stack([clip, clip.flip(-1) * 0.8])[:, :, None])
    answers = {"logits": outputs.logits, "logits_per_video": outputs.logits_per_video}
    return {name: [round(float(value), 6) for value in answer.flatten()] for name, answer in answers.items()}


def moved(stored: dict, found: dict) -> list[str]:
    """Names of the outputs in which two records of one form differ by more than machines do."""
    return [
        name
        for name in sorted(set(stored) | set(found))
        if len(stored.get(name, ())) != len(found.get(name, ()))
        or any(abs(a - b) > TOLERANCE * max(1, abs(b)) for a, b in zip(stored[name], found[name], strict=True))
    ]


def main() -> int:
    """Writes the file, or says which form moved without a new version."""
    from training_fdp.methods.mer_clip import MERCLIPMethod

    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"version": 0, "forms": {}}
    found = {form: seeded_alignment(form) for form in FORMS}
    changed = [name for name, stored in known["forms"].items() if name not in found or moved(stored, found[name])]
    if changed and known["version"] == MERCLIPMethod.version:
        sys.stderr.write(f"{', '.join(changed)} moved: raise MERCLIPMethod.version first, list it in CHANGELOG.md.\n")
        return 1
    content = {"version": MERCLIPMethod.version, "forms": found}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
