"""Fetches transformers' own test mixins, which its wheel leaves out and its source distribution on PyPI holds.

    python tests/transformers_suite/fetch.py

The release is the installed one. Three modules that the mixins import are not in the distribution either; what this
suite needs of them is written beside the mixins.
"""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path, PurePosixPath

import transformers

FOLDER = Path(__file__).resolve().parents[2] / ".transformers_suite"
PACKAGE = "transformers_tests"
STUBS = {
    "exporters/test_export.py": "class ExportTesterMixin:\n    pass\n",
    "generation/test_utils.py": "class GenerationTesterMixin:\n    pass\n",
    "utils/test_configuration_utils.py": (
        "config_common_kwargs = {'return_dict': False, 'output_hidden_states': True, 'output_attentions': True,\n"
        "    'dtype': 'float16', 'is_encoder_decoder': True, 'chunk_size_feed_forward': 5, 'architectures': ['Net'],\n"
        "    'problem_type': 'regression', 'id2label': {0: 'label'}, 'label2id': {'label': 0}}\n"
    ),
}


def package_folder() -> Path:
    """Where the mixins of the installed release lie, or will lie."""
    return FOLDER / transformers.__version__ / PACKAGE


def fetch() -> Path:
    """Downloads the mixins of the installed release, once.

    Returns:
        `Path`: the folder of the package `transformers_tests`.

    Raises:
        RuntimeError: the distribution cannot be had.
    """
    target = package_folder()
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target, so that the last step is a rename and an interrupted download leaves nothing half done.
    with tempfile.TemporaryDirectory(dir=target.parent) as temporary:
        requirement = f"transformers=={transformers.__version__}"
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-build-isolation"]
        command += ["--no-binary", ":all:", "--dest", temporary, requirement]
        if subprocess.run(command, check=False).returncode:
            raise RuntimeError(
                f"The suite needs the source distribution {requirement}, but pip could not download it."
            )
        unpacked = Path(temporary) / PACKAGE
        unpacked.mkdir()
        with tarfile.open(next(Path(temporary).glob("*.tar.gz"))) as archive:
            for member in archive.getmembers():
                path = PurePosixPath(member.name)
                if len(path.parts) == 3 and path.parts[1] == "tests" and path.suffix == ".py":
                    content = archive.extractfile(member)
                    if content is not None:
                        (unpacked / path.name).write_bytes(content.read())
        for name, text in STUBS.items():
            (unpacked / name).parent.mkdir()
            (unpacked / name).write_text(text, encoding="utf-8")
        for folder in (unpacked, *(unpacked / name for name in ("exporters", "generation", "utils"))):
            (folder / "__init__.py").touch()
        unpacked.rename(target)
    return target


if __name__ == "__main__":
    sys.stdout.write(f"{fetch()}\n")
