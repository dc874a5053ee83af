"""The rules that come with weightaudit, one file each; `rules/README.md` is their index."""
