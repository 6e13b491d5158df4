"""How each contestant is loaded and called, one file a runtime; imported in its process alone."""
