"""Runs the variants, each as a run of train.py in its own folder: resumable, with all records and figures."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from transformers import PreTrainedConfig

from evaluation_fdp.comparison import comparison_table, paired_differences
from evaluation_fdp.errors import ConfigError
from evaluation_fdp.metrics import HEADLINE
from evaluation_fdp.protocols import FINAL_FOLD, NO_PROTOCOL
from evaluation_fdp.results import RESULTS_NAME, Benchmark, Results, read_results
from training_fdp.cli import read_pairs
from training_fdp.config import TrainConfig, parse_train_config
from training_fdp.data.processor import build_processor
from training_fdp.methods.base import NetworkRequest
from training_fdp.methods.registry import get_method
from training_fdp.runs.run import run_unfinished

from .variants import REFERENCE, VARIANTS, Pretraining, Variant

logger = logging.getLogger(__name__)

# Options of a run that its pretraining has as well: network, input and machine.
KEPT_BY_PRETRAINING = (
    "label_set", "preset", "num_frames", "image_size", "model_overrides", "processor_overrides", "seed",
    "cache_dir", "num_proc", "mixed_precision", "eval_batch_size", "checkpoint_steps",
)  # fmt: skip


def choose_variants(names: Sequence[str], groups: Sequence[str]) -> list[str]:
    """Return the variants to run (`list[str]`): those named and those of the groups, the reference always first.

    Variants with a pretraining take hours, so they run only when named, themselves or by their group.

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
        return [name for name, variant in VARIANTS.items() if variant.pretraining is None]
    wanted = {REFERENCE, *names, *(name for name, variant in VARIANTS.items() if variant.group in groups)}
    return [name for name in VARIANTS if name in wanted]


def variant_arguments(config: TrainConfig, variant: Variant, folder: Path) -> list[str]:
    """Return the arguments that a variant appends (`list[str]`): the last value of an option wins."""
    model = dict(variant.model)
    if variant.global_depth is not None:
        num_stages = len(_network(config).local_depths)
        model["global_depths"] = f"[{','.join([str(variant.global_depth)] * num_stages)}]"
    settings = {
        **variant.settings,
        "model_overrides": [*config.network.model_overrides, *_pairs(model)],
        "processor_overrides": [*config.data.processor_overrides, *_pairs(variant.processor)],
        "output_dir": str(folder),
        "final_model": False,
    }
    if variant.pretraining is not None:
        settings["init_from"] = str(pretraining_place(variant.pretraining, folder.parent) / FINAL_FOLD)
        if variant.settings.get("max_steps") == 0:
            settings["seeds"] = [config.protocol.seed]  # nothing is random, so all seeds give one figure
    return as_arguments(settings)


def pretraining_place(pretraining: Pretraining, root: Path) -> Path:
    """Return the folder (`Path`) in OUT where a pretraining runs."""
    return root / f"pretrained_{pretraining.num_clips}"


def pretraining_arguments(
    config: TrainConfig, pretraining: Pretraining, options: Sequence[str], folder: Path
) -> list[str]:
    """Return the command line (`list[str]`) of a variant's pretraining.

    Network, input and machine settings are the reference's, the training is that of docs/results.md.

    Args:
        config (`TrainConfig`): The reference.
        pretraining (`Pretraining`): Which clips.
        options (`Sequence[str]`): Options of the synthetic corpus as NAME=VALUE (`face_model=...`, `difficulty=...`).
        folder (`Path`): Its OUT.
    """
    people = {"num_subjects": pretraining.num_clips // 10, "clips_per_subject": 10, "seed": pretraining.seed}
    settings = {
        "corpus": ["synthetic"],
        "corpus_options": [*options, *_pairs(people)],
        "protocol": NO_PROTOCOL,
        "epochs": pretraining.epochs,
        "batch_size": 32,
        "learning_rate": 2e-3,
        **{name: value for name, value in config.flat().items() if name in KEPT_BY_PRETRAINING},
        "output_dir": str(folder),
    }
    return as_arguments(settings)


def repeats_reference(config: TrainConfig, variant: TrainConfig) -> bool:
    """Return whether a variant equals the reference (`bool`), so that its run would be the same.

    With `--init_from` settings of the checkpoint are unknown here, so every variant counts as different.
    """
    return (
        config.network.init_from is None
        and variant.network.init_from is None
        and _training(config) == _training(variant)
    )


def run_variants(
    arguments: Sequence[str], names: Iterable[str], pretraining_options: Sequence[str] = ()
) -> dict[str, Results]:
    """Run variants one after the other into OUT/<name>/; finished folds are not run again.

    A variant that equals the reference, e.g. `size_tiny` with the preset `tiny`, gets no row.

    Args:
        arguments (`Sequence[str]`): Options of `train.py`: the reference.
        names (`Iterable[str]`): Keys of `VARIANTS`.
        pretraining_options (`Sequence[str]`, *optional*): Options of the synthetic corpus of pretrainings, as
            NAME=VALUE.

    Returns:
        `dict[str, Results]`: Results by name of every variant with a finished fold.
    """
    config = parse_train_config(arguments)
    root = Path(str(config.run.output_dir))
    for name in names:
        pretraining = VARIANTS[name].pretraining
        if pretraining is not None:
            folder = pretraining_place(pretraining, root)
            first = pretraining_arguments(config, pretraining, pretraining_options, folder)
            if run_unfinished(first):
                logger.warning("%s is unfinished, and ablation %s waits for it; run it again", folder.name, name)
                continue
        changed = [*arguments, *variant_arguments(config, VARIANTS[name], root / name)]
        if name != REFERENCE and repeats_reference(config, parse_train_config(changed)):
            logger.warning("ablation %s is the reference itself and is not run again", name)
            continue
        logger.warning("ablation %s", name)
        if run_unfinished(changed):
            logger.warning("ablation %s lacks folds; the same command runs only these", name)
    return read_variants(root)


def read_variants(root: Path) -> dict[str, Results]:
    """Return the results (`dict[str, Results]`) of all variants in OUT, in the order of `VARIANTS`."""
    paths = {name: root / name / RESULTS_NAME for name in VARIANTS}
    return {name: read_results(path) for name, path in paths.items() if path.exists()}


def ablation_table(results: Mapping[str, Results], root: Path | None = None) -> str:
    """Lay out one Markdown table per question, each with the reference, by falling size of the differences in UF1.

    Beside the emotion it shows the mean squared error of the constructed dynamic images as a share of constant gray's,
    and Kendall's tau of the rank scores with time.

    Args:
        results (`Mapping[str, Results]`): Results by name of the variant.
        root (`Path`, *optional*): OUT, whose predictions give each difference its 95% interval over subjects.

    Returns:
        `str`: The tables, and below them the inflation by choosing epochs on test clips.
    """
    rows = {name: results[name] for name in VARIANTS if name in results}
    titles = {name: VARIANTS[name].title for name in rows}
    images, ranks = {}, {}
    for name, row in rows.items():
        if row.benchmark is None:
            continue
        answers = {answer: values.mean for answer, values in row.benchmark.answers.items()}
        if "dynamic_image_mse" in answers:
            images[name] = f"{answers['dynamic_image_mse'] / answers['dynamic_image_mse_constant']:.2f}"
        if "rank_kendall_tau" in answers:
            ranks[name] = f"{answers['rank_kendall_tau']:.3f}"
    columns = {"dynamic image: error, gray = 1": images, "Kendall's tau": ranks}
    differences = {} if root is None else paired_differences(rows, {name: root / name for name in rows}, REFERENCE)
    tables: list[str] = []
    for group, names in _questions(rows).items():
        compared = {name: rows[name] for name in dict.fromkeys([REFERENCE, *names])}
        table = comparison_table(compared, titles, REFERENCE, columns, differences, shows_guessing=not tables)
        tables.append(f"### {group.capitalize()}\n\n{table}")
    inflated = [_literature(row.benchmark) for row in rows.values() if row.benchmark is not None]
    return "\n\n".join([*tables, *filter(None, inflated)])


def _questions(rows: Mapping[str, Results]) -> dict[str, list[str]]:
    """Names of variants by group, those with the largest difference from the reference first, in both orders."""

    def size(name: str) -> float:
        runs = [row.benchmark.figures[HEADLINE] for row in (rows[name], rows[REFERENCE]) if row.benchmark is not None]
        return abs(runs[0] - runs[-1])

    names = sorted((name for name in rows if name != REFERENCE), key=size, reverse=True)
    questions: dict[str, list[str]] = {}
    for name in names or [REFERENCE]:
        questions.setdefault(VARIANTS[name].group, []).append(name)
    return questions


def _training(config: TrainConfig) -> tuple[dict[str, object], ...]:
    """Normalised settings that decide the figures of a run from scratch."""
    model = _network(config)
    overrides = read_pairs("processor_overrides", config.data.processor_overrides)
    processor = build_processor(overrides, model.num_frames, model.image_size)
    spelled = {"num_frames", "image_size", "model_overrides", "processor_overrides"}
    settings = {name: value for name, value in config.identity().items() if name not in spelled}
    return settings, model.to_dict(), processor.to_dict()


def _network(config: TrainConfig) -> PreTrainedConfig:
    """The network of a run from scratch, without class names."""
    method = get_method(config.network.method)(config.method)
    return method.configure(NetworkRequest(("any",), config.network.overrides))


def _literature(benchmark: Benchmark) -> str:
    if benchmark.best_on_test_subject is None:
        return ""
    reported, chosen = benchmark.figures["uf1"], benchmark.best_on_test_subject["uf1"]
    return (
        f"`best_on_test_subject`: choosing each fold's epoch on its own test clips turns UF1 {reported:.3f} into "
        f"{chosen:.3f} ({100 * (chosen - reported):+.1f} points) without any better model."
    )


def as_arguments(settings: Mapping[str, object]) -> list[str]:
    """Write settings as options of `train.py`; `None` and empty values are left out."""
    arguments: list[str] = []
    for name, value in settings.items():
        values = value if isinstance(value, list) else [value]
        if values and value is not None:
            arguments += [
                f"--{name}",
                *(str(item).lower() if isinstance(item, bool) else str(item) for item in values),
            ]
    return arguments


def _pairs(overrides: Mapping[str, object]) -> list[str]:
    return [f"{name}={value}" for name, value in overrides.items()]
