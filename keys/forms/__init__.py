"""Forms about keys and routing."""
