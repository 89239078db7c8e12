"""Everything around the networks: data, training, reports, export. The modules are the commands."""
