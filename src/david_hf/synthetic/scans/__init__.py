"""Textured scans of people, rendered with the same renderer and labels as made-up people.

Sapiens and DAViD evaluate on such images of THuman scans. Their cameras and panoramas are not
published: these are images of the same scans, not the same images.
"""
