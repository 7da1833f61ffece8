"""Entities to begin with; `users` is served when none are named."""
