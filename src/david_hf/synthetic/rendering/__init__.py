"""From a scene to the files of a sample: Blender in a process of its own, and its labels."""
