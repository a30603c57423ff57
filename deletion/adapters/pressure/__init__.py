"""How hard pressed a service is: gauges over HTTP."""
