"""Ways in: what stock FiftyOne reads and writes, testing a connection step by step, how secrets are shown."""
