"""How the frameworks are written: one file a framework, one row a function, and no framework imported."""
