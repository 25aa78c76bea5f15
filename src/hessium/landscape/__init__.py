"""Critical points."""
