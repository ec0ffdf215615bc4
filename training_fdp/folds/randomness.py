"""Where random numbers come from: functions of the seed, the fold and the step, and of nothing else."""

import hashlib
import os

import torch


def mixed_seed(*parts: int | str) -> int:
    """Return a seed (`int` below 2^63) that any change of any part changes throughout."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def set_determinism(deterministic: bool) -> None:
    """Ask torch for equal bits in every run; operations that cannot warn once and go on."""
    # Read when the first matrix product runs on a card; without it those differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if torch.cuda.is_available():
        # Fused attention has a deterministic gradient only where `warn_only` is off; plain products always have one.
        torch.backends.cuda.enable_flash_sdp(not deterministic)
        torch.backends.cuda.enable_mem_efficient_sdp(not deterministic)
        torch.backends.cuda.enable_cudnn_sdp(not deterministic)
