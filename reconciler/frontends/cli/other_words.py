"""The words that users of similar tools type, and the commands that do the same here."""

from typing import Any

from typer.core import TyperGroup

OTHER_WORDS = {
    "vmcluster": {
        **dict.fromkeys(("up", "create", "define", "deploy", "update", "edit", "import"), "apply"),
        **dict.fromkeys(("down", "delete", "del", "rm", "remove", "undefine", "clean"), "destroy"),
        **dict.fromkeys(("ls", "ps", "get", "clusters"), "list"),
        **dict.fromkeys(("describe", "inspect", "info", "show", "nodes"), "status"),
        **dict.fromkeys(("halt", "shutdown", "poweroff"), "stop"),
        **dict.fromkeys(("boot", "resume"), "start"),
        **dict.fromkeys(("reboot", "reset", "reload"), "restart"),
        **dict.fromkeys(("shell", "login", "attach", "connect"), "ssh"),
        **dict.fromkeys(("kill", "terminate"), "crash"),
        **dict.fromkeys(("check", "lint"), "validate"),
        **dict.fromkeys(("install", "config"), "setup"),
        **dict.fromkeys(("undo", "revert", "restore"), "rollback"),
        **dict.fromkeys(("serve", "daemon", "monitor"), "watch"),
        **dict.fromkeys(("scp", "cp", "copy", "upload"), "push"),
        **dict.fromkeys(("partition", "impair", "heal", "net"), "fault"),
        **dict.fromkeys(("diff", "preview"), "plan"),
        **dict.fromkeys(("new", "scaffold", "generate"), "init"),
        **dict.fromkeys(("fetch", "download"), "pull"),
        **dict.fromkeys(("ssh_config", "config-ssh", "show-ssh", "sshconfig"), "ssh-config"),
        **dict.fromkeys(("ansible", "ansible-inventory"), "inventory"),
        **dict.fromkeys(("stats", "usage", "htop", "domstats"), "top"),
        **dict.fromkeys(("web", "page", "dashboard", "open"), "ui"),
        **dict.fromkeys(("clone", "branch"), "fork"),
        "run": "exec",
        "log": "logs",
        "help": "--help",
        "completion": "--install-completion",
        "snapshots": "snapshot",
    },
    "image": {
        **dict.fromkeys(("fetch", "download", "get"), "pull"),
        **dict.fromkeys(("remove", "delete", "del"), "rm"),
        **dict.fromkeys(("show", "inspect"), "info"),
        "ls": "list",
    },
    "job": {
        **dict.fromkeys(("run", "exec", "create", "new"), "start"),
        **dict.fromkeys(("ls", "list", "ps", "show"), "status"),
        **dict.fromkeys(("log", "logs", "tail"), "output"),
        **dict.fromkeys(("kill", "cancel", "rm", "delete"), "stop"),
    },
    "snapshot": {
        **dict.fromkeys(("restore", "rollback", "apply", "goto"), "revert"),
        **dict.fromkeys(("save", "take", "add", "new"), "create"),
        **dict.fromkeys(("rm", "remove", "del"), "delete"),
        "ls": "list",
    },
    "fault": {
        **dict.fromkeys(("rm", "remove", "delete", "clear"), "heal"),
        **dict.fromkeys(("cut", "split", "isolate"), "partition"),
        **dict.fromkeys(("delay", "loss", "netem", "degrade"), "impair"),
        **dict.fromkeys(("ls", "show", "status"), "list"),
    },
}
"""By group, as it is called."""


class CommandGroup(TyperGroup):
    """A group that answers another tool's word with its own, and anything else with what is spelt alike."""

    def resolve_command(self, ctx: Any, args: list[str]) -> tuple[str | None, Any, list[str]]:
        """Like that of Typer."""
        typed = args[0] if args else ""
        meant = OTHER_WORDS.get(ctx.info_name or "", {}).get(typed)
        if meant is not None and typed not in self.commands:
            ctx.fail(f"No such command {typed!r}. Did you mean {meant!r}?")
        return super().resolve_command(ctx, args)
