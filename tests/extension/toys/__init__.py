"""One of each noun, as a team would add it: a module each, registered when it is imported."""
