"""Keys and values of the shared cache, as producer and service agree on them."""
