"""Links to the other members: what goes to them, and what comes from them."""
