"""What runs of `david evaluate` found, for people: a page, tables, the figures of a model card.

The page and its plots need the extra `evaluation`, for Jinja2 and Matplotlib.
"""
