"""From a question to the nearest vectors."""
