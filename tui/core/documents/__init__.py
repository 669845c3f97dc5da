"""FiftyOne's own documents, read and written as FiftyOne does."""
