"""Models behind one interface: photos in, maps of their size out, for any family of models."""
