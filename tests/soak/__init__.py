"""A soak: random operations by two clients while everything around them is damaged, and a look at what came of it.

script     what happens, step by step, from a seed alone; pure
clients    the operations, as the service's clients carry them out
damage     what is done to the host and to the service behind everybody's back
disks      what the disks hold, and what they may hold after a step
inspect    the host, looked at without asking the product
run        the steps, one by one, each followed by a look at everything
"""
