"""The `david` command: one module for each sub-command, put together in `main`.

A package beside `david_hf`, not inside it: importing `david_hf` registers its classes with
transformers and so loads torch, which `david --help` and a mistyped option should not wait for.
"""
