"""Who runs the folds: plans what to read, reads each byte once, and merges what was measured."""
