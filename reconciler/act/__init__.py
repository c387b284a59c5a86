"""Acting: one executor per kind of action, run stage by stage and in parallel per node."""
