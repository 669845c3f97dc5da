"""From a file to a vector: decoding, models, and running them at the machine's speed."""
