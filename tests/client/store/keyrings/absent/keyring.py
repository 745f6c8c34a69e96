"""Stands where the package ``keyring`` would be, on a system that has none."""

raise ModuleNotFoundError("No module named 'keyring'", name="keyring")
