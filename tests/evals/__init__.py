"""Tasks for agents that have only the tools: how many calls, tokens and errors it took, and whether the end is right.

A task is a file in `tasks/`: its goal, how it starts, and the name of its checker. Its checker and a scripted solution
are code. Agents reach the server through a relay that records every message, scripted ones too, so that all are
measured in the same way: see .github/CONTRIBUTING.md.

task       reads the files
world      the cluster that a task is about, and a client of its tools
relay      between client and server: records what passes
measure    calls, errors, bytes and tokens, from a record
start      makes the state that a task begins with
checks     whether the end is as the goal says
solutions  the shortest ways that a careful person found
run        all of it, for one agent
"""
