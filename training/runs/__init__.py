"""Settings, the run folder and the card in it."""
