"""The backend: wraps Milvus and FiftyOne, and knows no terminal."""
