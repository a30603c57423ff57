"""Everything on one machine: broker, database, sample services and what they use of others."""
