"""Whether a video file is complete by the outermost structure of its container, without decoding."""

import os


def missing_bytes(path: str) -> int:
    """Bytes missing at the end by the outermost structure of an AVI, MP4 or Matroska file.

    Matroska has no frame count, so a cut would not be detected otherwise.
    """
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        head = file.read(64)
        if head[:4] == b"RIFF":
            end = 0
            # Files above 1 GB are several RIFF lists in a row.
            while head[:4] == b"RIFF" and end < size:
                length = int.from_bytes(head[4:8], "little")
                end += 8 + length + length % 2
                file.seek(end)
                head = file.read(8)
            # Some writers leave out the padding byte of the last chunk.
            return max(0, end - size - 1)
        if head[:4] == b"\x1a\x45\xdf\xa3":
            return _missing_matroska_bytes(head, size)
        end = 0
        while head[4:8].isalnum() and end < size:
            file.seek(end)
            head = file.read(16)
            length = int.from_bytes(head[:4], "big")
            if length == 1:
                length = int.from_bytes(head[8:16], "big")
            if length < 8 or not head[4:8].isalnum():
                break
            end += length
    return max(0, end - size)


def _missing_matroska_bytes(head: bytes, size: int) -> int:
    """The segment follows the EBML header; its size is a number of 1 to 8 bytes, all ones where it is unknown."""
    header_length = head[4] & 0x7F if head[4] & 0x80 else int.from_bytes(head[5:12], "big")
    start = (5 if head[4] & 0x80 else 12) + header_length
    segment = head[start : start + 12]
    if segment[:4] != b"\x18\x53\x80\x67" or len(segment) < 12 or segment[4] == 0:
        return 0
    length = 9 - segment[4].bit_length()
    value = int.from_bytes(segment[4 : 4 + length], "big") & ((1 << 7 * length) - 1)
    unknown = value == (1 << 7 * length) - 1
    return 0 if unknown else max(0, start + 4 + length + value - size)


def riff_is_finished(path: str) -> bool:
    """Whether an AVI file has its final length, which interrupted recorders do not write."""
    with open(path, "rb") as file:
        return any(file.read(8)[4:])
