"""Results to matplotlib figures; nothing is shown or saved here."""
