"""One answer for any input: the class of a clip, or the expressions that are found in a longer recording."""

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from modeling_fdp import MicroExpressionAnswer
from processing_fdp.clip_metadata_fdp import is_too_long
from processing_fdp.clip_reading_fdp import ClipSource, open_frames
from processing_fdp.frame_source_fdp import MAX_RECORDING_FRAMES
from processing_fdp.video_processing_fdp import warn_in_metadata_only
from training_fdp.hub.prediction import Predictor

if TYPE_CHECKING:
    from spotting_fdp.spotter import Spotter, SpottingResult


class Answerer:
    """Answers clips with a checkpoint, and spots inputs longer than one expression, because no single class fits them.

    Args:
        predictor (`Predictor`): The checkpoint. Its processor says which face is judged.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor

    @functools.cached_property
    def _spotter(self) -> "Spotter":
        # Imported for recordings alone, because importing scipy takes long.
        from spotting_fdp.recognition import CheckpointRecognizer
        from spotting_fdp.spotter import Spotter

        recognizer = CheckpointRecognizer(self.predictor)
        return Spotter(None, recognizer, self.predictor.processor.face, self.predictor.source)

    def answer(
        self,
        source: ClipSource,
        fps: float | None = None,
        explain: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> "MicroExpressionAnswer | SpottingResult":
        """Answer one input.

        Args:
            source (`ClipSource`): A video file, a folder of frames, or another form that the video processor takes.
            fps (`float`, *optional*): Frames per second, where the file states none or a wrong number.
            explain (`bool`, *optional*, defaults to `False`): As in `Predictor.predict`.
            progress (`Callable[[int, int], None]`, *optional*): As in `Spotter.spot`.

        Returns:
            `MicroExpressionAnswer` of a clip, or `SpottingResult` of an input longer than one expression.

        Raises:
            VideoReadError: If the input cannot be read, or is a recording without a frame rate.
        """
        with warn_in_metadata_only(), open_frames(source, max_frames=MAX_RECORDING_FRAMES) as frames:
            if is_too_long(frames.frame_count, fps or frames.frames_per_second):
                return self._spotter.spot_frames(frames, fps, progress)
        return self.predictor.predict(source, fps, explain)
