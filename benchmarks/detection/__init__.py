"""How many seeded faults the audit finds in saved models, and how many healthy models it leaves alone."""
