"""Results as a run leaves them, without a run."""

from evaluation_fdp.fold_records import ClipPrediction, FoldRecord, LiteratureSelection
from evaluation_fdp.metrics import METRICS, Figures
from evaluation_fdp.results import Answer, Benchmark, FoldSummary, Results


def fold_record(fold, subject, labels, predictions, corpus="toy", best=None, answers=None):
    """One finished fold that held out one subject, of two classes."""
    return FoldRecord(
        identity="digest",
        fold=fold,
        seed=0,
        test_subjects=[subject],
        train_subjects=["other"],
        num_train_clips=5,
        num_test_clips=len(labels),
        steps=4,
        selection={"method": "fixed"},
        seconds=1.0,
        device="cpu",
        settings={},
        best_on_test_subject=None if best is None else LiteratureSelection(2, 1.0, best),
        predictions=[
            ClipPrediction(
                clip_id=f"{subject}/{number}",
                corpus=corpus,
                subject=subject,
                label=label,
                prediction=prediction,
                probabilities=[0.1, 0.9] if prediction else [2 / 3, 1 / 3],
                answers=answers or {},
            )
            for number, (label, prediction) in enumerate(zip(labels, predictions, strict=True))
        ],
    )


def figures(uf1):
    """Figures of a stated UF1, whatever their confusion matrix."""
    return Figures(dict.fromkeys(METRICS, uf1) | {"accuracy": uf1 + 0.1}, [uf1] * 2, [uf1] * 2, [[3, 0], [0, 9]])


def run_results(uf1, deviation=0.01, complete=True, num_seeds=2, literature=None, answers=None, **changes):
    """Results of a run whose UF1 has this mean and deviation over seeds; `changes` are fields of `Results`."""
    half = deviation / 2**0.5
    seeds = [uf1] if num_seeds == 1 else [uf1 - half, uf1 + half]
    benchmark = Benchmark(
        per_seed={seed: figures(value) for seed, value in enumerate(seeds)},
        num_subjects=4,
        class_counts=changes.pop("class_counts", [3, 9]),
        interval=dict.fromkeys(METRICS, (uf1 - 0.05, uf1 + 0.05)),
        folds=[FoldSummary("fold0", 0, ["s1"], 3, 9, 3, 2, 10, 1.0)],
        answers={name: Answer(name, mean, 0.0) for name, mean in (answers or {}).items()},
        best_on_test_subject=None if literature is None else figures(literature),
    )
    fields = {
        "command": "accelerate launch train.py --corpus synthetic",
        "corpus": ["synthetic"],
        "test_corpus": [],
        "label_set": "5class",
        "class_names": ["happiness", "others"],
        "preset": "tiny",
        "protocol": "kfold2",
        "selection": "fixed",
        "seeds": list(range(num_seeds)),
        "synthetic": True,
        "warnings": [],
        "versions": {"python": "3.11"},
        "settings": {},
        "missing_folds": {} if complete else {"fold1": "not run"},
        "benchmark": benchmark,
    }
    return Results(**fields | changes)
