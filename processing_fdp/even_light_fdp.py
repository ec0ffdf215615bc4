"""One exposure for all frames of a clip, and no frame without light.

A camera's gain, a flickering lamp or a passing cloud multiplies whole frames, which in a difference of frames looks
like motion everywhere. The gain is estimated as the median ratio to one frame of the clip over the middle of the face,
because an expression changes less than half of these pixels. Our choice.
"""

import torch

# Share of the crop left out at each side, because only the middle is face without background.
MARGIN = 1 / 4
# Frames are dropped whose gain is smaller or larger: black, burnt out, or another scene.
DARKEST, BRIGHTEST = 0.55, 1.8
MOST_REPLACED = 0.1


def even_light(frames: torch.Tensor) -> torch.Tensor:
    """Divide every frame of clips by its gain, and fill frames without light from their neighbours.

    The result is the same up to one factor per clip, for all gains between 0.55 and 1.8, except for
    gray levels that were rounded, clipped or below 1.

    Args:
        frames (`torch.Tensor` of shape `(..., num_frames, height, width)`): gray levels from 0 to 255, of any type.

    Returns:
        `torch.Tensor` of the same shape: float32, in [0, 255]. A dropped frame is a blend of the nearest frames that
        were kept, so that frames stay evenly spaced in time. Where fewer than two would be kept, all are.
    """
    levels = frames.float()
    gain = _gain(levels)
    even = (levels / gain[..., None, None]).clamp(0, 255)
    kept = _is_lit(gain)
    if bool(kept.all()):
        return even
    clips = even.reshape(-1, *even.shape[-3:])
    filled = [_filled(clip, lit) for clip, lit in zip(clips, kept.reshape(len(clips), -1), strict=True)]
    return torch.stack(filled).reshape(even.shape)


def light_warnings(frames: torch.Tensor) -> list[str]:
    """Say how many frames [`even_light`] replaces, where they are more than a tenth (our choice).

    Args:
        frames (`torch.Tensor` of shape `(num_frames, height, width)`): gray levels from 0 to 255, of any type.

    Returns:
        `list[str]`: one sentence, or none.
    """
    lost = int((~_is_lit(_gain(frames.float()))).sum())
    if lost <= MOST_REPLACED * len(frames):
        return []
    return [
        f"{lost} of the {len(frames)} frames used are far darker or brighter than the others and were replaced by "
        "their neighbours, so that what moves in them is not seen: give the part in one light"
    ]


def _gain(levels: torch.Tensor) -> torch.Tensor:
    """Brightness of each frame relative to one frame of the clip: float32 of shape `(..., num_frames)`."""
    height, width = levels.shape[-2:]
    rows, columns = (slice(int(MARGIN * side), side - int(MARGIN * side)) for side in (height, width))
    # (..., num_frames, pixels); below one gray level a ratio is meaningless.
    face = levels[..., rows, columns].flatten(-2).clamp(min=1)
    brightness = face.median(-1).values
    # The reference is the frame of median brightness.
    typical = (brightness - brightness.median(-1, keepdim=True).values).abs().argmin(-1)
    reference = face.take_along_dim(typical[..., None, None], -2)
    return (face / reference).median(-1).values


def _is_lit(gain: torch.Tensor) -> torch.Tensor:
    """Which frames are kept: bool of the shape of `gain`; all of a clip of which fewer than two would be kept."""
    kept = (gain > DARKEST) & (gain < BRIGHTEST)
    return kept | (kept.sum(-1, keepdim=True) < 2)


def _filled(frames: torch.Tensor, kept: torch.Tensor) -> torch.Tensor:
    """Replace frames that are not kept by a blend of the kept ones before and after, or by the nearest at the ends."""
    known, wanted = kept.nonzero().flatten(), torch.arange(len(frames), device=frames.device)
    before = known[(torch.searchsorted(known, wanted, right=True) - 1).clamp(min=0)]
    after = known[torch.searchsorted(known, wanted).clamp(max=len(known) - 1)]
    share = ((wanted - before) / (after - before).clamp(min=1)).clamp(0, 1)
    return torch.lerp(frames[before], frames[after], share[:, None, None])
