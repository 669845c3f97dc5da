"""Talking to Milvus: the link, administration, the fast way in, what an index can be."""
