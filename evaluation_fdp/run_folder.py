"""The OUT folder of a run: run.json, finished folds, and working folders of unfinished ones."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

from evaluation_fdp.atomic_files import read_json, write_json
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.fold_records import FoldRecord, read_record
from evaluation_fdp.protocols import FINAL_FOLD
from evaluation_fdp.run_info import RunIdentity, RunInfo

RUN_NAME = "run.json"
SAMPLES_FOLDER = "samples"
WEIGHTS_NAME = "model.safetensors"
# Most differences that an error lists.
SHOWN_DIFFERENCES = 4


class RunStore:
    """One OUT folder.

    Args:
        root (`Path`): The folder; it may not exist yet.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    def open(self, run: RunInfo) -> None:
        """Start a run in this folder, or resume the run in it.

        Args:
            run (`RunInfo`): The run.

        Raises:
            ConfigError: the folder holds other files, or a run with other settings.
        """
        self.check(run.identity)
        self.root.mkdir(parents=True, exist_ok=True)
        write_json(self.root / RUN_NAME, run.to_dict())

    def check(self, identity: RunIdentity) -> None:
        """Check that a run can start or resume in this folder; nothing is written.

        Args:
            identity (`RunIdentity`): Identity of the run.

        Raises:
            ConfigError: the folder holds other files, or a run with other settings.
        """
        if self._is_foreign():
            raise ConfigError(
                f"{self.root} holds files that are not a run's; give --output_dir a new or an empty folder"
            )
        if (self.root / RUN_NAME).exists():
            differences = _differences(self.read().identity, identity)
            if differences:
                raise ConfigError(
                    f"{self.root} holds a run with other settings ({'; '.join(differences)}); give another "
                    "--output_dir or repeat the old settings"
                )

    def read(self) -> RunInfo:
        """Read run.json (`RunInfo`).

        Raises:
            ConfigError: the folder holds no run, or one of another version of this package.
        """
        path = self.root / RUN_NAME
        if not path.exists():
            raise ConfigError(f"{self.root} holds no run ({RUN_NAME} is missing); give the --output_dir of a training")
        try:
            return RunInfo.from_dict(read_json(path))
        except (KeyError, TypeError) as error:
            raise ConfigError(
                f"{path} is of another version of this package ({error}); give a new --output_dir, or collect it with "
                "the version that wrote it"
            ) from error

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
        identity = self.read().identity.digest
        records = {
            seed: [record for key in keys if (record := read_record(self.place(key), identity)) is not None]
            for seed, keys in keys_by_seed.items()
        }
        return {seed: finished for seed, finished in records.items() if finished}

    def _is_foreign(self) -> bool:
        if self.root.is_file():
            return True
        return self.root.is_dir() and not (self.root / RUN_NAME).exists() and any(self.root.iterdir())


def _differences(old: RunIdentity, new: RunIdentity) -> list[str]:
    """List the differences between two identities, settings one by one."""
    pairs: dict[str, tuple[object, object]] = {
        f"--{name}": (value, new.settings.get(name)) for name, value in old.settings.items()
    }
    pairs |= {f"--{name}": (None, value) for name, value in new.settings.items() if name not in old.settings}
    pairs |= {f"download of {name}": (old.sources.get(name), variant) for name, variant in new.sources.items()}
    pairs["clips"] = (old.clips[:8], new.clips[:8])
    pairs["classes"] = (old.class_names, new.class_names)
    changes = [f"{name} was {was}, now {now}" for name, (was, now) in pairs.items() if was != now]
    shown = changes[:SHOWN_DIFFERENCES]
    return [*shown, f"and {len(changes) - len(shown)} more"] if len(changes) > len(shown) else shown
