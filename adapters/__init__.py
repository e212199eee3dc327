"""Who is being judged: one file an implementation, the wire document and the worker loop."""
