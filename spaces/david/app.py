"""Hugging Face Space: upload a photo, see depth, normals and foreground."""

from pathlib import Path

from david_hf.demo import build_demo

demo = build_demo(examples=sorted(Path(__file__).with_name("examples").glob("*.jpg")))

if __name__ == "__main__":
    demo.launch()
