"""Metrics of one image, sequence or group: pure numpy functions, float64 inside.

Sets of metrics come as flat dictionaries of floats; a single number is a float, and is called like
its function. Means over a data set are the caller's. What is published elsewhere is computed
exactly as there, borders and defaults included; what is our own definition says so.

`matting` needs the extra `data`, for OpenCV and SciPy.
"""
