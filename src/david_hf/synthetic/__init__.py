"""Procedural synthetic humans with perfect labels, rendered with Blender Cycles.

Two processes share the work. This package samples people (`scene`) and turns renders into labels
(`labels`); `render_cycles.py` runs inside Blender, which it alone imports, and the two exchange
plain npz and EXR files.
"""
