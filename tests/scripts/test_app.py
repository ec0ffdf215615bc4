"""The page: an upload is answered and deleted, an example stays, and what is no clip gets one sentence."""

import importlib.util
import io
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="the extra [app] is not installed")
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError

from training_fdp.hub.prediction import Predictor

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def page(model_folder, tmp_path_factory):
    """The page in this process, its examples and the folder of its uploads."""
    patch = pytest.MonkeyPatch()
    uploads = tmp_path_factory.mktemp("uploads")
    patch.setenv("GRADIO_TEMP_DIR", str(uploads))
    specification = importlib.util.spec_from_file_location("app", ROOT / "app.py")
    app = importlib.util.module_from_spec(specification)
    patch.setitem(sys.modules, "app", app)
    specification.loader.exec_module(app)
    examples = app.write_examples(tmp_path_factory.mktemp("examples"))
    built = app.build(Predictor(str(model_folder)), examples)
    _, address, _ = built.launch(prevent_thread_lock=True, quiet=True)
    yield app, Client(address, verbose=False), [Path(path) for path in examples], uploads
    built.close()
    patch.undo()


def ask(client, path):
    return client.predict(handle_file(str(path)), api_name="/answer")


def test_an_upload_is_answered_and_deleted(page, tmp_path):
    _, client, examples, uploads = page
    mine = tmp_path / "mine.mp4"
    shutil.copy(examples[0], mine)
    classes, text, picture, films, document = ask(client, mine)
    assert classes["label"] in ("happiness", "disgust", "surprise")
    assert sum(entry["confidence"] for entry in classes["confidences"]) == pytest.approx(1, abs=1e-5)
    assert text.startswith(f"## {classes['label']}") and "60 per second" in text
    assert document["input"] == "mine.mp4" and document["label"] == classes["label"]
    with Image.open(picture) as drawn:
        assert drawn.width > 1000 and np.asarray(drawn.convert("L")).std() > 20
    assert films["value"] == [] and not films["visible"]
    assert mine.exists() and not list(uploads.rglob("mine.mp4"))


def test_a_still_face_is_called_neutral_without_a_probability(page, tmp_path):
    app, client, _, _ = page
    still = tmp_path / "still.avi"
    frame = app.render_clip(1003, "happiness", size=128, fps=60).frames[0]
    with app.av.open(str(still), "w") as container:
        stream = container.add_stream("ffv1", rate=60, width=128, height=128, pix_fmt="gray")
        for _ in range(12):
            container.mux(stream.encode(app.av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    classes, text, _, _, document = ask(client, still)
    assert classes["label"] == "neutral" and not classes.get("confidences")
    assert text.startswith("## neutral") and document["probability"] is None


@pytest.fixture
def recording(page, tmp_path):
    """Six seconds with one expression."""
    app, film = page[0], tmp_path / "film.avi"
    frames = app.render_clip(1, "surprise", seed=3, fps=30, neutral_s=3.0).frames
    with app.av.open(str(film), "w") as container:
        stream = container.add_stream("ffv1", rate=30, width=128, height=128, pix_fmt="gray")
        for frame in frames:
            container.mux(stream.encode(app.av.VideoFrame.from_ndarray(frame, format="gray")))
        container.mux(stream.encode())
    return film


def test_of_a_long_upload_movements_and_their_timeline_are_shown(page, recording):
    app, client, _, uploads = page
    classes, text, picture, films, document = ask(client, recording)
    assert classes["label"] == "1 movement found" and not classes.get("confidences")
    assert text.startswith("## 1 micro-, 0 macro-expressions in 6.0 s") and "| micro |" in text
    assert document["input"] == "film.avi" and document["counts"]["micro"] == 1 and "label" not in document
    with Image.open(picture) as drawn:
        assert drawn.width > 1000
    (film,) = films["value"]
    (found,) = document["expressions"]
    assert film["caption"] == f"{found['onset_s']:.2f} to {found['offset_s']:.2f} s, micro"
    with app.av.open(film["video"]) as container:
        # 0.3 s on both sides at a quarter of the speed.
        length = 4 * (found["offset_s"] - found["onset_s"] + 0.6 + 1 / 30)
        assert float(container.duration / app.av.time_base) == pytest.approx(length, abs=0.3)
    assert not list(uploads.rglob("film.avi"))


def test_an_example_is_answered_more_than_once(page):
    _, client, examples, _ = page
    first, second = (ask(client, examples[1])[4] for _ in range(2))
    assert first == second


def test_what_is_no_clip_gets_one_sentence_without_a_path(page, tmp_path, monkeypatch):
    app, client, examples, uploads = page
    (tmp_path / "bad.mp4").write_text("no video")
    with pytest.raises(AppError, match=r"a video must be readable, but 'bad\.mp4' is not") as caught:
        ask(client, tmp_path / "bad.mp4")
    assert str(uploads) not in str(caught.value) and not list(uploads.rglob("bad.mp4"))
    with pytest.raises(AppError, match="choose a video first"):
        client.predict(None, api_name="/answer")
    (tmp_path / "notes.txt").write_text("no video")
    with pytest.raises(app.UploadRefusedError, match=r"one of \.mp4, .* but notes\.txt is none"):
        app.check_upload(tmp_path / "notes.txt")
    monkeypatch.setattr(app, "LONGEST_CLIP_S", 0.5)
    with pytest.raises(
        app.UploadRefusedError, match=r"in 0\.5 s at most, but rendered_happiness\.mp4 has \d+ frames in 1 s"
    ):
        app.check_upload(examples[0])
    monkeypatch.setattr(app, "LARGEST_UPLOAD_MB", 0.001)
    with pytest.raises(app.UploadRefusedError, match=r"0\.001 MB at most"):
        app.check_upload(examples[0])


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium of this machine."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium on this machine")
    with playwright.sync_playwright() as driver:
        # Without its sandbox, which root has no right to.
        chromium = driver.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture
def view(page, browser):
    """The page in a browser, and what it asked for from other machines."""
    opened = browser.new_page(viewport={"width": 1280, "height": 1400})
    asked: list[str] = []
    opened.on("request", lambda request: asked.append(request.url))
    opened.set_default_timeout(120_000)
    opened.goto(page[1].src)
    opened.wait_for_selector("#start")
    yield opened
    opened.close()
    elsewhere = [url for url in asked if not url.startswith((page[1].src, "data:", "blob:"))]
    assert elsewhere == []


def test_a_visitor_uploads_a_clip_and_reads_its_class(page, view, tmp_path):
    shutil.copy(page[2][0], tmp_path / "mine.mp4")
    view.set_input_files("#upload input[type=file]", tmp_path / "mine.mp4")
    view.wait_for_selector("#upload >> text=mine")
    view.click("#start")
    assert view.inner_text("#answer h2") in ("happiness", "disgust", "surprise")
    assert view.inner_text("#answer h2") in view.inner_text("#classes")
    picture = view.wait_for_selector("#picture img")
    assert picture.bounding_box()["width"] > 600
    shot = view.screenshot(path=tmp_path / "page.png", full_page=True)
    with Image.open(io.BytesIO(shot)) as drawn:
        assert np.asarray(drawn.convert("L")).std() > 20


def test_a_visitor_plays_what_was_found_in_a_long_upload(view, recording, tmp_path):
    view.set_input_files("#upload input[type=file]", recording)
    view.wait_for_selector("#upload >> text=film")
    view.click("#start")
    view.wait_for_selector("#films video")
    view.click("#films video")
    film = view.wait_for_selector("#films video[controls], #films .preview video")
    film.evaluate("film => film.play()")
    view.wait_for_function("() => [...document.querySelectorAll('#films video')].some(film => film.currentTime > 0.2)")
    view.screenshot(path=tmp_path / "films.png", full_page=True)


def test_a_visitor_is_told_what_is_wrong_with_an_upload(view, tmp_path):
    (tmp_path / "bad.mp4").write_text("no video")
    view.set_input_files("#upload input[type=file]", tmp_path / "bad.mp4")
    view.wait_for_selector("#upload >> text=bad")
    view.click("#start")
    said = view.wait_for_selector(".toast-body").inner_text()
    assert "a video must be readable, but 'bad.mp4' is not" in said and "/" not in said.split("bad.mp4")[0]
    assert view.query_selector("#answer h2") is None
