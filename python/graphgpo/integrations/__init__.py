"""Adapters for trainers, one module each. Nothing else of graphgpo imports them."""
