"""Many samples: workers, resumption, quality control, index and summary sheet."""
