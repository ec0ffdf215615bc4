"""Writes seeded_forward_mol.json beside this file: what each preset of MOL returns right after a seeded start.

    python tests/artifacts/make_seeded_forward_mol.py

Where a preset's numbers moved, the file is only written anew after MOLMethod.version was raised: runs of two networks
must never be mixed.
"""

import json
import sys
from pathlib import Path

import torch

FILE = Path(__file__).resolve().parent / "seeded_forward_mol.json"
# Presets with overrides: `released` with two pairs of frames, because FlowNetC takes a second for each.
FORMS = {"small": {}, "released": {"num_frames": 3}}


def seeded_forward(preset: str) -> dict[str, list[float]]:
    """A few numbers per output of one preset, for a clip given by a formula."""
    from modeling_mol import MOLConfig, MOLForVideoClassification

    torch.manual_seed(0)
    config = MOLConfig.from_preset(preset, **FORMS[preset], num_labels=3)
    model = MOLForVideoClassification(config).eval()
    rows = torch.arange(config.image_size)[:, None] / config.image_size
    times = torch.arange(config.num_frames)[:, None, None] / config.num_frames
    clip = 0.5 * torch.sin(9 * rows.T) * torch.cos(7 * rows) - 0.4 * torch.exp(
        -(((rows - 0.3 - 0.1 * times) / 0.05) ** 2)
    )
    flow = torch.ones(1, 2, config.num_pairs, config.image_size, config.image_size)
    points = torch.linspace(-20, 20, 2 * config.num_landmarks).reshape(-1, 2).expand(1, config.num_frames, -1, -1)
    with torch.no_grad():
        outputs = model(clip[None, :, None], torch.tensor([2]), flow, points)
    answers = {
        "logits": outputs.logits,
        "flow": torch.stack([outputs.flow.mean(dim=(1, 3, 4)), outputs.flow.std(dim=(1, 3, 4))]),
        "landmarks": outputs.landmarks[:, 0, ::17],
        "losses": torch.stack([outputs.losses[name] for name in sorted(outputs.losses)]),
    }
    return {name: [round(float(value), 6) for value in answer.flatten()] for name, answer in answers.items()}


def main() -> int:
    """Writes the file, or says which preset moved without a new version."""
    from make_seeded_forward import moved

    from training_fdp.methods.mol import MOLMethod

    known = json.loads(FILE.read_text(encoding="utf-8")) if FILE.is_file() else {"version": 0, "forms": {}}
    found = {preset: seeded_forward(preset) for preset in FORMS}
    changed = [name for name, stored in known["forms"].items() if name not in found or moved(stored, found[name])]
    if changed and known["version"] == MOLMethod.version:
        sys.stderr.write(f"{', '.join(changed)} moved: raise MOLMethod.version first and list it in CHANGELOG.md.\n")
        return 1
    content = {"version": MOLMethod.version, "forms": found}
    FILE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.path.insert(0, str(FILE.parents[2]))
    sys.exit(main())
