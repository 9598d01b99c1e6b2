"""People: bodies, faces, poses, clothes and hair, as meshes and strands."""
