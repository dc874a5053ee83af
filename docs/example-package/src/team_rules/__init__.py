"""Rules and projections of a team; a module for each."""
