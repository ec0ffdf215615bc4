"""A network says what its video processor must do."""

from training_fdp.config import parse_train_config
from training_fdp.runs.engine import build_accelerator
from training_fdp.runs.prepare import prepare_run


def even_light(output_dir, *options):
    words = ["--corpus", "synthetic", "--output_dir", str(output_dir), "--protocol", "kfold2", "--max_steps", "2"]
    config = parse_train_config([*words, *options])
    return prepare_run(config, build_accelerator(config.training, config.run)).processor.even_light


def test_patterns_are_read_from_evenly_lit_frames_unless_a_run_says_otherwise(toy_corpus, tmp_path):
    patterns = ("--model_overrides", "reference=movement_patterns", "dynamic_image_frames=along_curve")
    assert even_light(tmp_path, *patterns)
    assert not even_light(tmp_path, *patterns, "--processor_overrides", "even_light=false")
    assert not even_light(tmp_path)
