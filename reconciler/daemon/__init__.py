"""The controller as a service: watches and repairs clusters, serves metrics, and reports to the service manager."""
