"""The version store: every state of a model is kept, can be proven, and can be had back.

`store` opens and makes stores, `committing` puts a model into one as it is, `draft` takes a mended
one, `restoring` puts a version back, `verifying` reads it again, `tagging` and `pruning` say what
they are called. `record` and ``record.schema.json`` describe what is written beside each version.
"""
