"""`python -m david_cli`, and so `accelerate launch -m david_cli`."""

from .main import app

app(prog_name="david")
