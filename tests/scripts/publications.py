"""What the tests of publishing share: the repository, the files of the small checkpoint, an edit of a JSON file."""

import json

REPO_ID = "tester/fdp-synthetic"


EXPECTED_FILES = {
    "README.md",
    "config.json",
    "configuration_fdp.py",
    "model.safetensors",
    "modeling_fdp.py",
    "results.json",
    "video_preprocessor_config.json",
    "video_processing_fdp.py",
}


def edit_json(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
