"""Road networks, routes and the way through them."""
