"""The life cycle in virtual time, from one seed: kills, delays and lost answers at every await.

The product's own classes run over the stores in memory and a broker in memory with Pub/Sub's
delivery rules. `make simulate` runs schedules for a minute.
"""
