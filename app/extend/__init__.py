"""The one door through which nodes come in: built-in ones and packs, each in its own style."""
