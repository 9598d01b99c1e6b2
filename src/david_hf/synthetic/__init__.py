"""Procedural synthetic humans with perfect labels, rendered with Blender Cycles.

`humans` makes people, `stage` what surrounds them, `sampler` scenes of both out of the
distributions of `factors`. `rendering` draws scenes in a Blender process of its own, which alone
imports bpy, and develops pictures and labels. `production` makes many, by many workers.
"""

# Raised by every change after which the same seed gives another picture.
GENERATOR_VERSION = 4
