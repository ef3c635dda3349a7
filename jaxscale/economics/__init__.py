"""Money, time and risk: what quality is worth, what machines cost, and what doubt costs."""
