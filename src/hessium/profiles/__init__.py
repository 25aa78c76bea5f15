"""Everything about the curvature of one risk, on one page."""
