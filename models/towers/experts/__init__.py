"""The experts: text, picture and subwords to vectors of one width."""
