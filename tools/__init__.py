"""What developers and tests need around the product; no part of the package."""
