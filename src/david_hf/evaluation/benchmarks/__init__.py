"""What is measured on what, as data: the benchmarks of the paper and a few of our own."""
