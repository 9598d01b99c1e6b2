"""Data sets of humans with depth, normals and alpha, and what training does to them."""
