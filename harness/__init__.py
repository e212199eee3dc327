"""How a run goes: campaigns, workers, verdicts and run folders."""
