"""The one place where what is finished gets its name: everything else hands it whole files.

What is written appears whole or not at all, under power cuts too: new files are made in a
`staging.Staging` directory beside their destination, synced, and then renamed; a model that is
replaced is at every instant the old one or the new one. `copying` makes the copies, `publishing`
and `replacing` do the renames.
"""
