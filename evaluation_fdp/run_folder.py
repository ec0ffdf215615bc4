"""The OUT folder of a run: run.json, finished folds, and working folders of unfinished ones."""

import hashlib
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from evaluation_fdp.atomic_files import read_json, write_json
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.fold_records import FoldRecord, read_record
from evaluation_fdp.protocols import FINAL_FOLD

RUN_NAME = "run.json"
SAMPLES_FOLDER = "samples"
WEIGHTS_NAME = "model.safetensors"
# Most differences that an error lists.
SHOWN_DIFFERENCES = 4


def identity_digest(identity: Mapping[str, Any]) -> str:
    """Return the digest (`str`) of the clips and settings that decide the numbers of a run."""
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()[:32]


def keys_by_seed(run_info: Mapping[str, Any]) -> dict[int, list[str]]:
    """Return the folder names of all folds of a run (`dict` of `list[str]`), by seed."""
    main_seed = run_info["identity"]["settings"]["seed"]
    return {seed: [fold_key(fold, seed, main_seed) for fold in run_info["folds"]] for seed in run_info["seeds"]}


def fold_key(fold_id: str, seed: int, main_seed: int) -> str:
    """Return the folder name (`str`) of a fold; every seed but the run's `--seed` is part of it."""
    return fold_id if seed == main_seed else f"{fold_id}_seed{seed}"


class RunStore:
    """One OUT folder.

    Args:
        root (`Path`): The folder; it may not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, identity: Mapping[str, Any], run_info: Mapping[str, Any]) -> None:
        """Start a run in this folder, or resume the run in it.

        Args:
            identity (`Mapping`): Clips and settings that decide the numbers.
            run_info (`Mapping`): What reports need about the run; see `training_fdp.runs.run`.

        Raises:
            ConfigError: the folder holds other files, or a run with other settings.
        """
        if self._is_foreign():
            raise ConfigError(
                f"{self.root} holds files that are not a run's; give --output_dir a new or an empty folder"
            )
        if (self.root / RUN_NAME).exists():
            differences = _differences(self.read()["identity"], dict(identity))
            if differences:
                raise ConfigError(
                    f"{self.root} holds a run with other settings ({'; '.join(differences)}); give another "
                    "--output_dir or repeat the old settings"
                )
        self.root.mkdir(parents=True, exist_ok=True)
        write_json(self.root / RUN_NAME, {"identity": identity, **run_info})

    def read(self) -> dict[str, Any]:
        """Read run.json.

        Raises:
            ConfigError: the folder holds no run.
        """
        path = self.root / RUN_NAME
        if not path.exists():
            raise ConfigError(f"{self.root} holds no run ({RUN_NAME} is missing); give the --output_dir of a training")
        content: dict[str, Any] = read_json(path)
        return content

    def place(self, key: str) -> Path:
        """Return the folder (`Path`) of a fold's record; that of the final model is beside `folds/`."""
        return self.root / FINAL_FOLD if key == FINAL_FOLD else self.root / "folds" / key

    def work_folder(self, key: str) -> Path:
        """Return the working folder (`Path`) of an unfinished fold."""
        return self.root / "unfinished" / key

    def clear_work(self, key: str) -> None:
        """Remove the working folder of a fold, and its parent with the last one."""
        shutil.rmtree(self.work_folder(key), ignore_errors=True)
        parent = self.root / "unfinished"
        if parent.exists() and not any(parent.iterdir()):
            parent.rmdir()

    def records(self, keys_by_seed: Mapping[int, Sequence[str]]) -> dict[int, list[FoldRecord]]:
        """Return the finished folds (`dict` of `list[FoldRecord]`) of each seed, in the order of the protocol.

        Seeds without a finished fold are left out.
        """
        identity = identity_digest(self.read()["identity"])
        records = {
            seed: [record for key in keys if (record := read_record(self.place(key), identity)) is not None]
            for seed, keys in keys_by_seed.items()
        }
        return {seed: finished for seed, finished in records.items() if finished}

    def _is_foreign(self) -> bool:
        if self.root.is_file():
            return True
        return self.root.is_dir() and not (self.root / RUN_NAME).exists() and any(self.root.iterdir())


def _differences(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """List the differences between two identities, settings one by one."""
    pairs = {f"--{name}": (value, new["settings"].get(name)) for name, value in old["settings"].items()}
    pairs |= {f"--{name}": (None, value) for name, value in new["settings"].items() if name not in old["settings"]}
    pairs |= {f"download of {name}": (old["sources"].get(name), variant) for name, variant in new["sources"].items()}
    pairs["clips"] = (old["clips"][:8], new["clips"][:8])
    pairs["classes"] = (old["class_names"], new["class_names"])
    changes = [f"{name} was {was}, now {now}" for name, (was, now) in pairs.items() if was != now]
    shown = changes[:SHOWN_DIFFERENCES]
    return [*shown, f"and {len(changes) - len(shown)} more"] if len(changes) > len(shown) else shown
