"""How cases are made, and what must hold for each."""
