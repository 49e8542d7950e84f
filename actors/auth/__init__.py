"""Users, roles and permissions; who somebody is, and what he may do."""
