"""Where the README's figures come from: speed, memory and start-up of the audit, as ratios."""
