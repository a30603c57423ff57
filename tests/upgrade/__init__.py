"""Old and new code side by side: records, processes, and the upgrade that the runbook describes."""
