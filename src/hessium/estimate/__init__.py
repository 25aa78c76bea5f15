"""From an operator to a result that knows its error."""
