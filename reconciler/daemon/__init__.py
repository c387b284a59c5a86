"""The controller as a service: it watches, repairs, counts and tells the service manager."""
