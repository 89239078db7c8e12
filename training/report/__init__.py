"""From trained weights to numbers, plots and a page."""
