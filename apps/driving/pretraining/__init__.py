"""How the pocket CLIP that understands bird's-eye views is made from nothing."""
