"""The `david` command: one module for each sub-command, put together in `main`."""
