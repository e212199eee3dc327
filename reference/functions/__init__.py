"""The formulas of every activation and every cost, by family, and what a row of the tables holds."""
