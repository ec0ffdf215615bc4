"""The YAML header of a model card: tags, licence, lineage, and the `model-index` with the pooled figures."""

from huggingface_hub import EvalResult, ModelCardData

from evaluation_fdp.metrics import METRICS, Metric
from evaluation_fdp.results import Benchmark, Results
from evaluation_fdp.run_info import StartingWeights


def card_metadata(repo_id: str, model_type: str | None, results: Results | None) -> ModelCardData:
    """Write the metadata of a model card.

    Args:
        repo_id (`str`): Repository of the card, `namespace/name`.
        model_type (`str`, *optional*): Type of its network.
        results (`Results`, *optional*): The run behind the checkpoint; without it there is no `model-index`.
    """
    tags = ["micro-expression-recognition", "facial-expression", model_type or "fdp"]
    evaluations = None
    open_weights = False
    if results is not None:
        # Without an initial checkpoint only, because the terms of its corpora apply as well and are not recorded here.
        open_weights = only_synthetic(results) and results.init_from is None
        tags += ["synthetic-data"] if synthetic_corpora(results) else []
    if results is not None and results.benchmark is not None:
        evaluations = [_evaluation(name, metric, results, results.benchmark) for name, metric in METRICS.items()]
    start = None if results is None else base_model(results.init_from)
    return ModelCardData(
        license="apache-2.0" if open_weights else "other",
        license_name=None if open_weights else "corpus-terms-research-only",
        library_name="transformers",
        pipeline_tag="video-classification",
        base_model=start,
        tags=tags,
        model_name=repo_id.split("/")[-1],
        eval_results=evaluations,
        base_model_relation=None if start is None else "finetune",
    )


def _evaluation(name: str, metric: Metric, results: Results, benchmark: Benchmark) -> EvalResult:
    """Entry of the model-index: a figure, and the protocol, clips, subjects and seeds behind it."""
    uncertainty: dict[str, object] = (
        {"interval_95_over_subjects": list(benchmark.interval[name])} if name in benchmark.interval else {}
    )
    if len(benchmark.per_seed) > 1:
        uncertainty["deviation_over_seeds"] = benchmark.deviation[name]
    return EvalResult(
        task_type="video-classification",
        task_name="Micro-expression recognition",
        dataset_type="+".join(results.test_corpus or results.corpus),
        dataset_name=f"{corpus_title(results)} ({results.protocol})",
        dataset_config=results.label_set or "default",
        dataset_split=results.protocol,
        dataset_args={
            "protocol": results.protocol,
            "label_set": results.label_set or "default",
            "num_clips": benchmark.num_clips,
            "num_subjects": benchmark.num_subjects,
        },
        metric_type=metric.hub_type,
        metric_name=f"{metric.title}, pooled over held-out subjects",
        metric_value=benchmark.figures[name],
        metric_args={"seeds": list(results.seeds), "selection": results.selection, **uncertainty},
    )


def base_model(start: StartingWeights | None) -> str | None:
    """Return the Hub repository that training started from (`str`); `None` for a folder, which has no namespace."""
    return start.name if start is not None and start.name.count("/") == 1 else None


def synthetic_corpora(results: Results) -> list[str]:
    """Name the corpora of a run whose clips were rendered (`list[str]`)."""
    if results.synthetic:
        return results.corpora
    return [name for name in results.corpora if name.startswith("synthetic")]


def only_synthetic(results: Results) -> bool:
    """Tell whether all clips of a run were rendered."""
    return synthetic_corpora(results) == results.corpora


def corpus_title(results: Results) -> str:
    """Write the names of the corpora of a run, with rendered ones marked (`str`)."""
    rendered = synthetic_corpora(results)
    marked = {name: "synthetic faces" if name == "synthetic" else f"{name} (synthetic faces)" for name in rendered}
    trained = " + ".join(marked.get(name, name) for name in results.corpus)
    tested = " + ".join(marked.get(name, name) for name in results.test_corpus)
    return f"{trained}, tested on {tested}" if tested else trained
