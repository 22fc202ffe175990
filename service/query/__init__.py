"""A query becomes vectors: text, picture and the user's history."""
