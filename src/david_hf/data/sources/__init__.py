"""Data sets on disk, each as a sequence of samples; `registry` names them all."""
