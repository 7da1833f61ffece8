"""Faults on a real cluster under load: what is made, what must hold, what a run found."""
