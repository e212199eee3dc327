"""What is true: the four equations, activations, costs, enclosures and exact values."""
