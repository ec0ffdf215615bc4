"""Speed of the presets, batched and frame by frame.

    python -m benchmarks inference                              # presets, each beside its frame loop
    python -m benchmarks inference --preset tiny --exports      # torch.export, ONNX Runtime, int8
    python -m benchmarks inference --device cuda --batch_sizes 1 64

`any_window` is `tiny` with the settings of the recipe of that name, the network of the shipped checkpoint. Pixels are
random, because the time of a convolution does not depend on them. Speed-ups are medians over rounds that time all ways
in turn; the peak is the higher of a matrix product and a convolution of the same precision on this machine.
"""

import argparse
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import Function, Row, compute_peak, parse, parser, report, take_turns
from modeling_fdp import FDPConfig, FDPForVideoClassification
from training_fdp.cli import read_pairs
from training_fdp.config import load_recipe
from training_fdp.methods.arithmetic import lay_out_channels_last

PRESETS = ("tiny", "any_window", "small", "base", "released")
LOOP = "frame loop, float32"
PLAIN = "batched, float32"


def build(preset: str, device: str = "cpu") -> FDPForVideoClassification:
    """Build a preset with five labels and random weights, in eval mode."""
    torch.manual_seed(0)
    return FDPForVideoClassification(configure(preset)).to(device).eval()


def configure(preset: str) -> FDPConfig:
    """Configuration of a preset, or of the network of the recipe `any_window` (`FDPConfig`), with five labels."""
    if preset != "any_window":
        return FDPConfig.from_preset(preset, num_labels=5)
    recipe = load_recipe(preset)
    overrides = read_pairs("model_overrides", recipe["model_overrides"])
    return FDPConfig.from_preset("tiny", num_labels=5, num_frames=recipe["num_frames"], **overrides)


def random_clips(model: FDPForVideoClassification, batch_size: int) -> torch.Tensor:
    """Draw pixels in [-1, 1] in the shape that the model takes, on its device."""
    config = model.config
    shape = (batch_size, config.num_frames, config.num_channels, config.image_size, config.image_size)
    return torch.rand(shape, device=model.device) * 2 - 1


def macs_per_clip(preset: str) -> float:
    """Count multiply-accumulates of convolutions, linear layers and attention products for one clip."""
    model = build(preset)
    model.set_attn_implementation("eager")
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(random_clips(model, 1))
    return counter.get_total_flops() / 2


class FrameByFrame(torch.nn.Module):
    """An encoder called on one frame (or pattern) after the other, as the authors' code calls theirs.

    Args:
        encoder (`torch.nn.Module`): From `(num_frames, channels, height, width)` to a tuple of maps of as many frames.
    """

    def __init__(self, encoder: torch.nn.Module) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, frames: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Maps of the frames."""
        return tuple(torch.cat(maps) for maps in zip(*(self.encoder(frame[None]) for frame in frames), strict=True))


def build_loop(preset: str, device: str = "cpu") -> FDPForVideoClassification:
    """Build a preset as `build` does, whose encoder takes one frame of one clip after the other."""
    model = build(preset, device)
    model.fdp.encoder = FrameByFrame(model.fdp.encoder)
    return model


def in_bfloat16(model: FDPForVideoClassification, clips: torch.Tensor) -> Any:
    """Run a model under autocast, as `--mixed_precision bf16` does."""
    with torch.autocast(clips.device.type, torch.bfloat16):
        return model(clips)


def ways(preset: str, batch_size: int, device: str) -> dict[str, Function]:
    """Return the functions that are timed of a preset, by name; all are compared with the first one."""
    loop, model, laid_out = build_loop(preset, device), build(preset, device), build(preset, device)
    lay_out_channels_last(laid_out)
    clips = random_clips(model, batch_size)
    return {
        LOOP: lambda: loop(clips).logits,
        PLAIN: lambda: model(clips).logits,
        "channels last, float32": lambda: laid_out(clips).logits,
        "channels last, bfloat16": lambda: in_bfloat16(laid_out, clips).logits,
    }


@torch.inference_mode()
def preset_rows(options: argparse.Namespace) -> list[Row]:
    """Measure presets at batch sizes."""
    peaks = {dtype: compute_peak(dtype, options.device) for dtype in (torch.float32, torch.bfloat16)}
    rows = []
    for preset in options.preset:
        macs, parameters = macs_per_clip(preset), sum(value.numel() for value in build(preset).parameters())
        for batch_size in options.batch_sizes:
            functions = ways(preset, batch_size, options.device)
            times = take_turns(functions, options.rounds, options.device)
            for way in functions:
                peak = peaks[torch.bfloat16 if "bfloat16" in way else torch.float32]
                rows.append(
                    {
                        "preset": preset,
                        "M parameters": round(parameters / 1e6, 2),
                        "GMAC per clip": round(macs / 1e9, 3),
                        "clips": batch_size,
                        "way": way,
                        **times.costs(way, LOOP, batch_size, options),
                        "share of peak": 2 * macs * batch_size / times.core_seconds(way, options) / peak,
                    }
                )
    return rows


@torch.inference_mode()
def export_rows(preset: str, options: argparse.Namespace) -> list[Row]:
    """Measure one clip through torch.export and ONNX Runtime, also with weights quantised to int8."""
    model = build(preset)
    clip, others = random_clips(model, 1), random_clips(model, 16)
    with tempfile.TemporaryDirectory() as folder:
        runs = exported(model, clip, Path(folder))
        functions: dict[str, Function] = {name: _bound(run, clip) for name, run in runs.items()}
        times = take_turns(functions, options.rounds)
        exact = torch.cat([model(one[None]).logits for one in others]).softmax(-1)
        rows = []
        for name, run in runs.items():
            answers = torch.cat([run(one[None]) for one in others]).softmax(-1)
            rows.append(
                {
                    "preset": preset,
                    "one clip through": name,
                    **times.costs(name, "PyTorch", 1, options),
                    "largest difference of a probability": float((answers - exact).abs().max()),
                    "same class, of 16": int((answers.argmax(-1) == exact.argmax(-1)).sum()),
                }
            )
    return rows


def _bound(run: Any, clip: torch.Tensor) -> Function:
    return lambda: run(clip)


def exported(model: FDPForVideoClassification, clip: torch.Tensor, folder: Path) -> Mapping[str, Any]:
    """Return functions from one clip to its logits: PyTorch, torch.export, ONNX Runtime in float32 and in int8."""
    import onnxruntime
    from onnxruntime.quantization import QuantType, quantize_dynamic

    class Logits(torch.nn.Module):
        """The logits alone, because a graph has tensors for outputs."""

        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixel_values: torch.Tensor) -> torch.Tensor:
            """Logits of clips."""
            answer: torch.Tensor = self.model(pixel_values).logits
            return answer

    program = torch.export.export(Logits().eval(), (clip,))
    path, small = folder / "model.onnx", folder / "int8.onnx"
    torch.onnx.export(program, (clip,), str(path), dynamo=True, verbose=False)
    quantize_dynamic(str(path), str(small), weight_type=QuantType.QUInt8)
    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = torch.get_num_threads()
    graph = program.module()

    def session(file: Path) -> Any:
        opened = onnxruntime.InferenceSession(str(file), settings, providers=["CPUExecutionProvider"])
        name = opened.get_inputs()[0].name
        return lambda pixels: torch.from_numpy(opened.run(None, {name: pixels.numpy()})[0])

    return {
        "PyTorch": lambda pixels: model(pixels).logits,
        "torch.export": graph,
        "ONNX Runtime": session(path),
        "ONNX Runtime, int8 weights": session(small),
    }


def main() -> int:
    """Parse the command line, measure, print."""
    made: argparse.ArgumentParser = parser(__doc__ or "", rounds=5)
    made.add_argument("--preset", nargs="+", choices=PRESETS, default=list(PRESETS), help="presets; all by default")
    made.add_argument("--batch_sizes", type=int, nargs="+", default=[1, 8], help="clips per call (1 8)")
    made.add_argument("--exports", action="store_true", help="torch.export, ONNX Runtime and int8 instead")
    options = parse(made)
    if options.exports:
        rows = [row for preset in options.preset for row in export_rows(preset, options)]
        report("inference", {"One clip, exported": rows}, options)
    else:
        report("inference", {"Presets": preset_rows(options)}, options)
    return 0


if __name__ == "__main__":
    sys.exit(main())
