"""What every package may use and no package owns. Imports nobody."""
