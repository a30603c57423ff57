"""Everything on one machine: broker, database, sample services, and the APIs that these use."""
