"""Trackers by name. They get numbers and settings, but no frames or local paths, because a tracker may be public."""

from collections.abc import Mapping

from accelerate import Accelerator

from evaluation_fdp.errors import ConfigError
from evaluation_fdp.results import Results
from training_fdp.hub.redaction import without_folders


def check_tracker(name: str) -> str | None:
    """Return the tracker's name (`str`), or `None` for `none`.

    Raises:
        ConfigError: accelerate does not support it, or its package is not installed.
    """
    if name == "none":
        return None
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = sorted(str(tracker) for tracker in LOGGER_TYPE_TO_CLASS)
    if name not in known:
        raise ConfigError(f"--report_to {name} is not a tracker; choose none or one of {', '.join(known)}")
    if name not in [str(tracker) for tracker in get_available_trackers()]:
        raise ConfigError(f"--report_to {name} needs a package that is not installed; run pip install {name}")
    return name


class RunTracker:
    """Sends the progress of a run to its tracker, if it has one.

    Args:
        accelerator (`Accelerator`): Holds the tracker.
        name (`str`): The tracker, or `none`.
        settings (`Mapping[str, object]`): Settings that decide the numbers of the run.
    """

    def __init__(self, accelerator: Accelerator, name: str, settings: Mapping[str, object]) -> None:
        self.accelerator = accelerator
        self.active = name != "none"
        # Every fold begins at step 1, and W&B drops values of a step before the last logged one.
        self.rises = name == "wandb"
        if self.active:
            values = {option: str(value) for option, value in without_folders(settings).items()}
            accelerator.init_trackers("fdp", config=values)

    def close(self) -> None:
        """Close the tracker.

        Not by `end_training()`, which also destroys the process group that the next run of a command needs.
        """
        if self.active:
            for tracker in self.accelerator.trackers:
                tracker.finish()

    def log(self, key: str, step: int, scalars: Mapping[str, float]) -> None:
        """Send the losses of one fold (those that the main process trains)."""
        if not self.active:
            return
        values = {f"{key}/{name}": value for name, value in scalars.items()}
        if self.rises:
            self.accelerator.log({**values, f"{key}/step": step})
        else:
            self.accelerator.log(values, step=step)

    def log_results(self, results: Results) -> None:
        """Send the pooled figures and the counts of the confusion matrix."""
        if not self.active or results.benchmark is None:
            return
        figures = results.benchmark.figures
        scalars: dict[str, float] = {f"pooled/{name}": value for name, value in figures.values.items()}
        names = results.class_names
        for truth, counts in zip(names, figures.confusion_matrix, strict=True):
            for prediction, count in zip(names, counts, strict=True):
                scalars[f"confusion/{truth}/{prediction}"] = count
        self.accelerator.log(scalars)
