"""The `vmcluster` command. Its modules import what a command needs when it runs, so that help is instant."""
