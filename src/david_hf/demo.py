"""The web demo: a photo in, depth, normals, foreground and a cut-out to look at."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .image_io import ImageReadError, load_image, to_rgb8
from .predictor import DavidPredictor
from .visualization import alpha_to_grey, colorize_depth, colorize_normals

if TYPE_CHECKING:
    import gradio

TITLE = "DAViD: depth, normals and foreground of people"
INTRODUCTION = """# DAViD on one photo
Relative **depth** (bright is near), **surface normals** (red: right, green: up, blue: towards the
camera) and a soft **foreground** of people. The bundled checkpoint `david-nano` was trained on
rendered people alone: it is small, fast on a CPU, and modest. Photos are processed on the server
and deleted there within the hour.
"""


def build_demo(
    model: str | Path | None = None, examples: Sequence[Path] = (), device: str | None = None
) -> "gradio.Blocks":
    """Build the page; `.launch()` serves it.

    Args:
        model: Hub id or checkpoint folder with all three heads; None takes the bundled one.
        examples: Photos offered to click on.
        device: Where to run; None takes an accelerator if there is one.

    Raises:
        ModelLoadError: If the model cannot be loaded or lacks a head.
        ImportError: If gradio is not installed.
    """
    try:
        import gradio as gr
    except ImportError as error:
        raise ImportError(
            "the demo needs gradio, which is not installed: pip install 'david-hf[demo]'"
        ) from error
    predictor = DavidPredictor.from_pretrained(model, device)
    predictor.check_tasks(("depth", "normals", "alpha"))

    def predict(path: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Maps of one uploaded photo, as pictures."""
        if path is None:
            raise gr.Error("Choose a photo first.")
        try:
            return make_pictures(predictor, path)
        except ImageReadError as error:
            # The server's folders are nobody's business.
            reason = str(error).removeprefix(f"{path}: ")
            raise gr.Error(f"This file cannot be read as a photo: {reason}") from error

    # Every 300 s, uploads and results older than 3,300 s are deleted.
    with gr.Blocks(title=TITLE, delete_cache=(300, 3300)) as page:
        gr.Markdown(INTRODUCTION)
        with gr.Row():
            with gr.Column():
                # A path, not pixels: reading is ours, with orientation and 16-bit pictures.
                photo = gr.Image(type="filepath", label="Photo", sources=["upload", "clipboard"])
                button = gr.Button("Predict", variant="primary")
            cutout = gr.Image(label="Cut-out", format="png", image_mode="RGBA")
        with gr.Row():
            depth = gr.Image(label="Depth", format="png")
            normals = gr.Image(label="Surface normals", format="png")
            alpha = gr.Image(label="Foreground", format="png", image_mode="L")
        outputs = [depth, normals, alpha, cutout]
        if examples:
            gr.Examples([[str(path)] for path in examples], inputs=[photo])
        button.click(predict, photo, outputs, api_name="predict")
    page.queue(max_size=20)
    return page


def make_pictures(
    predictor: DavidPredictor, path: str
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Depth (H, W, 3), normals (H, W, 3), alpha (H, W) and cut-out (H, W, 4) of a photo, uint8.

    Raises:
        ImageReadError: If the file is no photo.
    """
    image = load_image(path)
    prediction = predictor.predict(image)
    if prediction.depth is None or prediction.normals is None or prediction.alpha is None:
        raise ValueError(f"the demo needs a model with all heads, got {predictor.tasks}")
    alpha = alpha_to_grey(prediction.alpha)
    return (
        colorize_depth(prediction.depth, prediction.alpha),
        colorize_normals(prediction.normals, prediction.alpha),
        alpha,
        np.dstack([to_rgb8(image), alpha]),
    )
