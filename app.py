#!/usr/bin/env python
"""A page that answers uploaded clips, offline: `pip install -e ".[app]"`, then `python app.py`.

The same file runs as a Space. An upload is deleted once it is answered; nothing of it is logged or sent on.
"""

import argparse
import io
import sys
import tempfile
from pathlib import Path

import av
from PIL import Image

try:
    import gradio as gr
except ModuleNotFoundError as missing:
    if missing.name != "gradio":
        raise
    sys.stderr.write("error: app.py needs Gradio, which is not installed; run pip install -e '.[app]'\n")
    sys.exit(2)

from modeling_fdp import MicroExpressionAnswer
from processing_fdp.clip_metadata_fdp import LONGEST_CLIP_SECONDS
from processing_fdp.clip_reading_fdp import open_frames
from rendered_faces.film import render_clip
from spotting_fdp import SpottingResult
from spotting_fdp.answering import Answerer
from spotting_fdp.excerpts import SLOWNESS, write_excerpts
from spotting_fdp.report import draw_timeline, recording_document
from training_fdp.cli import run_main
from training_fdp.data.aligned_clips import UNUSABLE
from training_fdp.hub.answer_picture import draw_answer
from training_fdp.hub.answer_text import action_unit_line, clip_line, face_line, movement_line
from training_fdp.hub.prediction import Predictor

FILE_TYPES = (".mp4", ".avi", ".mov", ".mkv", ".webm", ".m4v", ".gif")
LARGEST_UPLOAD_MB, LONGEST_CLIP_S, MOST_FRAMES = 50, 20.0, 2000
# Seconds between two cleanings of what the browser was shown, and the age from which it goes.
KEPT_S = 600
# Visitors who wait; one clip is answered at a time.
LONGEST_QUEUE = 8
EXAMPLES = (("happiness", 1003, 2), ("surprise", 1004, 5), ("disgust", 1005, 1))
INTRODUCTION = f"""# Micro-expressions in a face video

Upload a video of one face, {LONGEST_CLIP_S:g} seconds and {LARGEST_UPLOAD_MB} MB at most, or take an example. What
lasts up to {LONGEST_CLIP_SECONDS:g} seconds is answered as one movement; in longer videos each movement is looked for.
The network learnt from rendered faces; its label is a guess about a movement, not a fact about a person or a feeling.
Do not upload anybody without their consent. An upload is deleted once it is answered, and its picture, or an upload
that is never answered, {2 * KEPT_S // 60} minutes later.

**What your camera can show.** A micro-expression lasts a fifth to half a second: 6 to 15 frames at 30 per second, 40
to 100 at 200. Below 24 frames per second there is nothing to see; at 30 onset and offset are coarse.
"""


class UploadRefusedError(ValueError):
    """An upload beyond the limits of this page."""


def check_upload(path: Path) -> None:
    """Refuse what is no video, too large or too long.

    Raises:
        UploadRefusedError: one sentence.
        VideoReadError: the file cannot be read.
    """
    if path.suffix.lower() not in FILE_TYPES:
        kinds = ", ".join(FILE_TYPES)
        raise UploadRefusedError(f"an upload is one of {kinds}, but {path.name} is none of them; convert it")
    size = path.stat().st_size / 2**20
    if size > LARGEST_UPLOAD_MB:
        raise UploadRefusedError(
            f"an upload has {LARGEST_UPLOAD_MB} MB at most, but {path.name} has {size:.0f}; cut it to the movement"
        )
    with open_frames(str(path)) as frames:
        count, rate = frames.frame_count, frames.frames_per_second
    if count > MOST_FRAMES or (rate and count / rate > LONGEST_CLIP_S):
        length = f"{count} frames" + (f" in {count / rate:.0f} s" if rate else "")
        raise UploadRefusedError(
            f"a clip has {MOST_FRAMES} frames in {LONGEST_CLIP_S:g} s at most, but {path.name} has {length}; cut it "
            "to the movement, or take spot.py, which finds the movements of a long recording"
        )


def refusal(sentence: str) -> gr.Error:
    """What an upload without an answer gets: shown until it is closed, and not logged."""
    return gr.Error(sentence, duration=None, title="No answer", print_exception=False)


def describe(answer: MicroExpressionAnswer) -> str:
    """Write the answer as Markdown."""
    lines = [f"## {answer.label or answer.reason}", *(f"- **{warning}**" for warning in answer.warnings)]
    facts = [clip_line(answer), face_line(answer)]
    if answer.label is not None:
        facts = [movement_line(answer), *([action_unit_line(answer)] if answer.action_units else []), *facts]
    return "\n".join([*lines, *(f"- {fact}" for fact in facts)])


def describe_recording(result: SpottingResult) -> str:
    """Write what was found in a longer upload as Markdown: a headline, warnings, one row per expression."""
    lines = [f"## {result.in_words}", *(f"- **{warning}**" for warning in result.warnings)]
    if result.expressions:
        lines += ["", "| from | to | kind | class |", "|---|---|---|---|"]
    for one in result.expressions:
        named = one.recognition
        label = "" if named is None else f"{named.label} ({named.confidence:.2f})" if named.label else named.reason
        lines.append(f"| {one.onset_s:.2f} s | {one.offset_s:.2f} s | {one.kind} | {label} |")
    return "\n".join(lines)


def film_expressions(result: SpottingResult, path: Path, gallery: gr.Gallery) -> list[tuple[str, str]]:
    """Film what was found in an upload, into the cache of a component, which is cleaned.

    Returns:
        `list[tuple[str, str]]`: Of each expression its film and its interval in words.
    """
    with tempfile.TemporaryDirectory() as folder, open_frames(str(path)) as frames:
        films = write_excerpts(frames, result.frames_per_second, result.expressions, Path(folder))
        cached = [str(gallery.move_resource_to_block_cache(str(film))) for film in films]
    words = [f"{one.onset_s:.2f} to {one.offset_s:.2f} s, {one.kind}" for one in result.expressions]
    return list(zip(cached, words, strict=True))


def write_examples(folder: Path) -> list[str]:
    """Write the rendered examples and return their paths."""
    paths = []
    for emotion, subject, seed in EXAMPLES:
        frames = render_clip(subject, emotion, seed=seed, size=256, fps=60, neutral_s=0.2).frames
        path = folder / f"rendered_{emotion}.mp4"
        with av.open(str(path), "w") as container:
            stream = container.add_stream("mpeg4", rate=60, options={"qscale": "2"})
            stream.height, stream.width = frames.shape[1:]
            stream.pix_fmt = "yuv420p"
            for frame in frames:
                container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="gray")))
            container.mux(stream.encode())
        paths.append(str(path))
    return paths


def build(predictor: Predictor, examples: list[str]) -> gr.Blocks:
    """Build the page.

    Args:
        predictor (`Predictor`): Answers the clips.
        examples (`list[str]`): Clips to choose from, which are not deleted.
    """
    kept = {Path(path).name: Path(path).read_bytes() for path in examples}
    answerer = Answerer(predictor)

    def respond(upload: str | None) -> tuple[object, ...]:
        """The answer to one upload: classes, text, picture, films of expressions and JSON."""
        if upload is None:
            raise refusal("choose a video first")
        path = Path(upload)
        # Gradio copies examples into its cache, so that they are known by name and content.
        is_example = path.name in kept and path.read_bytes() == kept[path.name]
        try:
            check_upload(path)
            answer = answerer.answer(str(path), explain=True)
            clips = film_expressions(answer, path, films) if isinstance(answer, SpottingResult) else []
        except (UploadRefusedError, *UNUSABLE) as error:
            # By name alone, because the path is this server's.
            raise refusal(str(error).replace(str(path), path.name)) from None
        finally:
            if not is_example:
                path.unlink(missing_ok=True)
        answer.input = path.name
        if isinstance(answer, SpottingResult):
            picture = Image.open(io.BytesIO(draw_timeline(answer)))
            found = f"{answer.count()} movement{'' if answer.count() == 1 else 's'} found"
            shown_films = gr.Gallery(clips, visible=bool(clips))
            return found, describe_recording(answer), picture, shown_films, recording_document(answer)
        picture = Image.open(io.BytesIO(draw_answer(answer)))
        # Without a number where nothing moved, because "neutral" is no class of the network and has no probability.
        shown = answer.probabilities if answer.probability is not None else answer.label or answer.reason
        return shown, describe(answer), picture, gr.Gallery([], visible=False), answer.to_dict()

    with gr.Blocks(title="Micro-expressions", analytics_enabled=False, delete_cache=(KEPT_S, KEPT_S)) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column():
                upload = gr.File(label="Video", file_types=list(FILE_TYPES), type="filepath", elem_id="upload")
                start = gr.Button("Answer", variant="primary", elem_id="start")
                gr.Examples([[path] for path in examples], inputs=[upload], label="Rendered examples")
            with gr.Column():
                classes = gr.Label(label="Answer", elem_id="classes")
                text = gr.Markdown(elem_id="answer")
        picture = gr.Image(label="Picture", type="pil", format="png", elem_id="picture")
        films = gr.Gallery(
            label=f"Expressions, {SLOWNESS} times slower", columns=4, visible=False, elem_id="films", interactive=False
        )
        with gr.Accordion("JSON", open=False):
            document = gr.JSON()
        start.click(
            respond, [upload], [classes, text, picture, films, document], api_name="answer", concurrency_limit=1
        )
    page.queue(max_size=LONGEST_QUEUE)
    return page


def main() -> None:
    """Serve the page until it is interrupted."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0], allow_abbrev=False)
    parser.add_argument("--model", metavar="FOLDER_OR_REPO", help="checkpoint (default: the one of this package)")
    parser.add_argument("--port", type=int, help="port of the page (default: the first free one from 7860)")
    options = parser.parse_args()
    predictor = Predictor(options.model)
    with tempfile.TemporaryDirectory(prefix="rendered_examples_") as folder:
        page = build(predictor, write_examples(Path(folder)))
        page.launch(
            server_port=options.port,
            max_file_size=f"{LARGEST_UPLOAD_MB}mb",
            # System fonts, because the default ones are fetched from the network.
            theme=gr.themes.Default(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"]),
        )


if __name__ == "__main__":
    run_main(main)
