"""Work that outlives the terminal: specifications, the store, the worker and its supervisor."""
