"""Seeds of random numbers, as functions of the seed, the fold and the step alone."""

import hashlib
import os

import torch


def mixed_seed(*parts: int | str) -> int:
    """Return a hash of the parts as a seed (`int` below 2^63)."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def set_determinism(deterministic: bool) -> None:
    """Make torch deterministic; operations that cannot be warn once."""
    # cuBLAS reads this at the first matrix product; without it products differ from run to run.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.backends.cudnn.deterministic = deterministic
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(deterministic, warn_only=True)
    if torch.cuda.is_available():
        # With `warn_only` the gradient of fused attention is not deterministic; that of plain products always is.
        torch.backends.cuda.enable_flash_sdp(not deterministic)
        torch.backends.cuda.enable_mem_efficient_sdp(not deterministic)
        torch.backends.cuda.enable_cudnn_sdp(not deterministic)
