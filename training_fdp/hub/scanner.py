"""Content that must not be published: recordings, tables, pickles, tokens, home folders and e-mail addresses."""

import re
from collections.abc import Callable

# Longer than any signature below.
HEAD_BYTES = 64
RECORDING = "is a picture or a video, and recordings of faces are never uploaded"
TABLE = "is an Arrow, Parquet or HDF5 file, which may hold frames of a corpus"
PICKLE = "may hold a pickle or raw arrays, which can run code or hold faces"
# Kind of content by the first bytes of a file; WebP and AVI are RIFF, MP4 and related formats have their type from
# byte 4 on.
SIGNATURES = {
    b"\x89PNG": RECORDING,
    b"\xff\xd8\xff": RECORDING,
    b"GIF8": RECORDING,
    b"BM": RECORDING,
    b"II*\x00": RECORDING,
    b"MM\x00*": RECORDING,
    b"RIFF": RECORDING,
    b"\x1aE\xdf\xa3": RECORDING,
    b"\x00\x00\x01\xba": RECORDING,
    b"\x00\x00\x01\xb3": RECORDING,
    b"ARROW1": TABLE,
    b"\xff\xff\xff\xff": TABLE,
    b"PAR1": TABLE,
    b"\x89HDF": TABLE,
    b"\x80\x02": PICKLE,
    b"\x80\x03": PICKLE,
    b"\x80\x04": PICKLE,
    b"\x80\x05": PICKLE,
    b"\x93NUMPY": PICKLE,
    b"PK\x03\x04": PICKLE,
}
SUFFIXES = {
    **dict.fromkeys((".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp", ".avif", ".heic"), RECORDING),
    **dict.fromkeys((".avi", ".mp4", ".mov", ".mkv", ".webm", ".m4v", ".mpg", ".wmv"), RECORDING),
    **dict.fromkeys((".arrow", ".parquet", ".feather", ".h5", ".hdf5"), TABLE),
    **dict.fromkeys((".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".npy", ".npz", ".joblib"), PICKLE),
}
TOKENS = re.compile(
    r"\bhf_[A-Za-z0-9]{20,}|\bgh[pousr]_[A-Za-z0-9]{20,}|\bgithub_pat_\w{20,}|\bpypi-[\w-]{20,}|\bAKIA[0-9A-Z]{16}\b"
    r"|\bsk-[\w-]{20,}|-----BEGIN [A-Z ]*PRIVATE KEY-----"
)
HOME_FOLDERS = re.compile(r"(?:/home/|/Users/|[A-Za-z]:\\{1,2}Users\\{1,2})[\w.-]+|(?<![\w/])/root/\w|(?<![\w/])~/\w")
ADDRESSES = re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)*\.[A-Za-z]{2,}\b")
TEXTS = {
    TOKENS: "holds what looks like an access token or a private key",
    HOME_FOLDERS: "names a home folder",
    ADDRESSES: "names an e-mail address",
}


def why_refused(name: str, content: bytes) -> str | None:
    """Return why a file must not be published.

    Args:
        name (`str`): Name of the file.
        content (`bytes`): Content of the file; of a large one the first `HEAD_BYTES` bytes.

    Returns:
        `str`, *optional*: The end of a sentence whose subject is the file; `None` where nothing was found.
    """
    checks: tuple[Callable[[str, bytes], str | None], ...] = (_by_suffix, _by_signature, _by_text)
    return next((reason for check in checks if (reason := check(name, content)) is not None), None)


def _by_suffix(name: str, content: bytes) -> str | None:
    return next((reason for suffix, reason in SUFFIXES.items() if name.lower().endswith(suffix)), None)


def _by_signature(name: str, content: bytes) -> str | None:
    if content[4:8] == b"ftyp":
        return RECORDING
    return next((reason for start, reason in SIGNATURES.items() if content.startswith(start)), None)


def _by_text(name: str, content: bytes) -> str | None:
    if name.endswith(".safetensors"):
        return None
    text = content.decode("utf-8", errors="replace")
    for pattern, reason in TEXTS.items():
        if match := pattern.search(text):
            shown = "" if pattern is TOKENS else f" ({match[0]})"
            return f"{reason}{shown} in line {text.count(chr(10), 0, match.start()) + 1}"
    return None
