"""From trained weights to files for servers and phones that behave the same."""
