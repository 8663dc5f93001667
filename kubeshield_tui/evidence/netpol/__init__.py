"""NetworkPolicy evidence: what the policies of a cluster say of a connection, and which rule says it."""
