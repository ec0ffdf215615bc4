"""Every variant is a run of the main program in its own folder: resumable, with all its records and figures."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from training_fdp.comparison import comparison_table
from training_fdp.config import TrainConfig, parse_train_config
from training_fdp.errors import ConfigError
from training_fdp.finishing import report_if_finished
from training_fdp.preparation import build_model_config, build_processor
from training_fdp.report import RESULTS_NAME
from training_fdp.runs import run
from training_fdp.storage import read_json

from .variants import REFERENCE, VARIANTS, Variant

logger = logging.getLogger(__name__)


def choose_variants(names: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return the variants to run (`list[str]`): those named and those of the groups, the reference always first.

    Raises:
        ConfigError: a variant or a group that does not exist.
    """
    known_groups = {variant.group for variant in VARIANTS.values()}
    unknown = sorted((set(names) - set(VARIANTS)) | (set(groups) - known_groups))
    if unknown:
        raise ConfigError(
            f"no variant or group of variants is called {unknown[0]!r}; groups are {', '.join(sorted(known_groups))}, "
            f"variants {', '.join(VARIANTS)}"
        )
    if not names and not groups:
        return list(VARIANTS)
    wanted = {REFERENCE, *names, *(name for name, variant in VARIANTS.items() if variant.group in groups)}
    return [name for name in VARIANTS if name in wanted]


def variant_arguments(config: TrainConfig, variant: Variant, place: Path) -> list[str]:
    """Return what a variant adds to the command line (`list[str]`): the last value of an option wins."""
    model = dict(variant.model)
    if variant.global_depth is not None:
        num_stages = len(build_model_config(config, ("any",)).local_depths)
        model["global_depths"] = f"[{','.join([str(variant.global_depth)] * num_stages)}]"
    settings = {
        **variant.settings,
        "model_overrides": [*config.model_overrides, *_pairs(model)],
        "processor_overrides": [*config.processor_overrides, *_pairs(variant.processor)],
        "output_dir": str(place),
        "final_model": False,
    }
    arguments: list[str] = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [value]
        if values:
            arguments += [
                f"--{name}",
                *(str(item).lower() if isinstance(item, bool) else str(item) for item in values),
            ]
    return arguments


def repeats_reference(config: TrainConfig, variant: TrainConfig) -> bool:
    """Return whether a variant sets what the reference has anyway (`bool`), so that its run would be the same.

    With `--init_from` the checkpoint holds half of the settings, and every variant counts as another one.
    """
    return config.init_from is None and _training(config) == _training(variant)


def run_variants(arguments: Sequence[str], names: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Run variants one after the other into OUT/<name>/; what is finished there is not run again.

    A variant that the reference is already, such as `size_tiny` of the preset `tiny`, gets no row.

    Args:
        arguments (`Sequence[str]`): Options of `train.py`: the reference.
        names (`Iterable[str]`): Keys of `VARIANTS`.

    Returns:
        `dict`: By name the content of results.json, of every variant with a finished fold.
    """
    config = parse_train_config(arguments)
    root = Path(str(config.output_dir))
    for name in names:
        changed = [*arguments, *variant_arguments(config, VARIANTS[name], root / name)]
        variant = parse_train_config(changed)
        if name != REFERENCE and repeats_reference(config, variant):
            logger.warning("ablation %s is the reference itself and is not run again", name)
            continue
        logger.warning("ablation %s", name)
        code = report_if_finished(variant, changed)
        if run(variant, changed) if code is None else code:
            logger.warning("ablation %s lacks folds; the same command runs only these", name)
    return read_variants(root)


def read_variants(root: Path) -> dict[str, dict[str, Any]]:
    """Return the results (`dict`) of all variants that lie in OUT, in the order of the grid."""
    return {name: read_json(root / name / RESULTS_NAME) for name in VARIANTS if (root / name / RESULTS_NAME).exists()}


def ablation_table(results: Mapping[str, Mapping[str, Any]]) -> str:
    """Lay out the reference and every variant as one Markdown table, question by question.

    Beside the emotion it shows what else the network answers: the mean squared error of the constructed dynamic images
    as a share of constant gray's, and how well the rank scores follow time (Kendall's tau).

    Args:
        results (`Mapping[str, Mapping]`): Contents of results.json by name of the variant.

    Returns:
        `str`: The table, and below it what choosing epochs by test clips inflates.
    """
    rows = {name: results[name] for name in VARIANTS if name in results}
    titles = {name: (f"{VARIANTS[name].group}: " if name != REFERENCE else "") + VARIANTS[name].title for name in rows}
    images, ranks = {}, {}
    for name, found in rows.items():
        if image := found["dynamic_image"]:
            images[name] = f"{image['mse'] / image['mse_constant']:.2f}"
        if rank := found["rank"]:
            ranks[name] = f"{rank['kendall_tau']:.3f}"
    columns = {"dynamic image: error, gray = 1": images, "Kendall's tau": ranks}
    table = comparison_table(rows, titles, REFERENCE, columns)
    inflated = [_literature(found) for found in rows.values() if "best_on_test_subject" in found]
    return "\n\n".join([table, *inflated])


def _training(config: TrainConfig) -> tuple[dict[str, Any], ...]:
    """What decides the numbers of a run from scratch, however its command line spells it."""
    model = build_model_config(config, ("any",))
    processor = build_processor(config, model)
    spelled = {"num_frames", "image_size", "model_overrides", "processor_overrides"}
    settings = {name: value for name, value in config.identity().items() if name not in spelled}
    return settings, model.to_dict(), processor.to_dict()


def _literature(results: Mapping[str, Any]) -> str:
    honest, chosen = results["metrics"]["uf1"], results["best_on_test_subject"]["uf1"]
    return (
        f"`best_on_test_subject`: choosing each fold's epoch on its own test clips turns UF1 {honest:.3f} into "
        f"{chosen:.3f} ({100 * (chosen - honest):+.1f} points) without any better model."
    )


def _pairs(overrides: Mapping[str, Any]) -> list[str]:
    return [f"{name}={value}" for name, value in overrides.items()]
