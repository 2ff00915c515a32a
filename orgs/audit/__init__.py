"""The audit log of each organization: a chain that shows what was changed in it."""
