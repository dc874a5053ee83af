"""The version store: every state of a model is kept, can be proven, and can be had back.

`store` opens and makes stores, `committing` puts a model into one as it is, `draft` takes a mended
one, `restoring` puts a version back, `verifying` reads it again, `signing` signs it with one of
the `keys`, `tagging` and `pruning` name and remove versions. `record` and ``record.schema.json``
describe what is written beside each version.
"""
