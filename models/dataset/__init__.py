"""A shop as the arrays that training reads."""
