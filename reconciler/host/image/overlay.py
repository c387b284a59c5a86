"""What our image changes in a plain Debian: files laid over the packages' own; pure data.

Everything here serves one of three ends: the machine is reachable by SSH as early as possible, it keeps
what people who test kernels, storage and networks expect to find, and its console shows what goes wrong.
Figures are CPU seconds of one emulated guest (TCG, Debian 12) up to the first SSH login: there a process
costs 0.06 to 0.1 s whatever it does, so the cheapest unit is the one that is not started.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

KERNEL_CMDLINE = "root=/dev/vda1 rw console=ttyS0 net.ifnames=0 quiet loglevel=5 no5lvl norandmaps"
"""For booting from the disk and for direct kernel boot alike.

`rw`: the journal is replayed by the mount, so no file system check is run. `loglevel=5`: warnings and worse
(an oops, a panic, a soft lockup) reach the serial console, chatter does not. `no5lvl`: emulated five-level page
tables cost time and 512 MiB need none. `norandmaps`: the emulator translates a library's code once per address it is
seen at, so with libraries always at the same address a boot takes a quarter less processor time (25.8 to 19 s).
"""

# `linux16`, not `linux`: that one copies the kernel's whole 51 MiB of memory byte by byte (2.2 s emulated).
_GRUB_CFG = f"""\
# Read by the boot loader in the disk's first sectors. No menu, no waiting.
linux16 /vmlinuz {KERNEL_CMDLINE}
initrd16 /initrd.img
boot
"""

# The links /vmlinuz and /initrd.img are what the boot loader starts; Debian's own kernel packages keep them,
# `make install` and packages made with `make bindeb-pkg` do not.
_KERNEL_POSTINST = """\
#!/bin/sh
# Boot the kernel installed last.
set -e
version=$1
[ -n "$version" ] && [ -e "/boot/vmlinuz-$version" ] || exit 0
ln -sfn "boot/vmlinuz-$version" /vmlinuz
ln -sfn "boot/initrd.img-$version" /initrd.img
"""

# ext4 is built in. No udev and no shell: 90 KiB instead of 8 MiB, and nothing to wait for.
_INITRAMFS = """\
AUTO_MODULES=no
INCLUDE_MODULES=virtio_pci,virtio_blk
MICROCODE=no
"""

# The lists name what one boot from a NoCloud seed can ask for. Each module costs an import even when unused.
_CLOUD_INIT = """\
datasource_list: [NoCloud]
disable_root: false
locale: false
ssh_genkeytypes: [ed25519]
no_ssh_fingerprints: true
manage_etc_hosts: false
system_info:
  network:
    renderers: [networkd]
    activators: [networkd]
cloud_init_modules:
 - bootcmd
 - write-files
 - disk_setup
 - mounts
 - set_hostname
 - update_hostname
 - users-groups
 - ssh
cloud_config_modules:
 - ssh-import-id
 - set-passwords
 - apt-configure
 - ntp
 - timezone
 - runcmd
cloud_final_modules:
 - package-update-upgrade-install
 - write-files-deferred
 - scripts-per-once
 - scripts-per-boot
 - scripts-per-instance
 - scripts-user
 - phone-home
 - final-message
 - power-state-change
"""

# Keys that the first stage has dealt with completely; any other key brings the later stages back.
_FIRST_STAGE_KEYS = (
    "allow_public_ssh_keys",
    "bootcmd",
    "disable_root",
    "disk_setup",
    "fqdn",
    "fs_setup",
    "groups",
    "hostname",
    "manage_etc_hosts",
    "mounts",
    "no_ssh_fingerprints",
    "preserve_hostname",
    "ssh_authorized_keys",
    "ssh_deletekeys",
    "ssh_genkeytypes",
    "ssh_keys",
    "users",
)

LATER_STAGES_PATH = "usr/lib/cloud-init/later-stages-needed"

# Shell built-ins only: every process counts. The file is YAML in block style, written by cloud-init itself.
_LATER_STAGES = f"""\
#!/bin/sh
# Succeeds when cloud-init's config and final stages have anything to do, once the network is up.
needed() {{
    /lib/systemd/systemd-networkd-wait-online --timeout=30 || true
    exit 0
}}
for script in /var/lib/cloud/instance/scripts/* /var/lib/cloud/scripts/*/*; do
    [ -e "$script" ] && needed
done
while read -r line; do
    case "$line" in *'"errors": [') needed ;; esac
done < /run/cloud-init/status.json
while IFS= read -r line; do
    case "$line" in
        ''|'#'*|' '*|'-'*|'...') ;;
        'ssh_pwauth: false'|{"|".join(f"{key}:*" for key in _FIRST_STAGE_KEYS)}) ;;
        *) needed ;;
    esac
done < /var/lib/cloud/instance/cloud-config.txt
exit 1
"""

_FINAL_STAGE = f"""\
#!/bin/sh
# cloud-init's final stage, or, when nothing is left to do, only its mark that all is done.
if /{LATER_STAGES_PATH}; then
    exec /usr/bin/cloud-init modules --mode=final
fi
echo '{{"v1": {{"datasource": null, "errors": []}}}}' > /run/cloud-init/result.json
"""

# The package's own program looks its entry point up in the installed packages' metadata: 2 s emulated for an import.
_FIRST_STAGE = """\
#!/usr/bin/python3
import sys
from cloudinit.cmd.main import main
sys.exit(main())
"""

# A seed directory in the image is merged with the seed disk: `dsmode: local` makes the first stage do all the
# work (users, keys, host name) before the network, and saves the second start of Python.
_SEED_META_DATA = "dsmode: local\n"

# The hybrid key exchange is there against computers of the future; its arithmetic is slow when emulated.
_SSHD = """\
KexAlgorithms -sntrup761x25519*
UseDNS no
PermitRootLogin prohibit-password
PasswordAuthentication no
KbdInteractiveAuthentication no
PrintMotd no
PrintLastLog no
HostKey /etc/ssh/ssh_host_ed25519_key
"""

# Who can log in can also be switched off: a power button pressed before logind listens is lost. And the
# configuration, which is the image's own, is not checked a second time at each start.
_SSH_SERVICE = """\
[Unit]
After=systemd-logind.service
[Service]
ExecStartPre=
"""

_JOURNALD = """\
[Journal]
Storage=volatile
RuntimeMaxUse=32M
"""

_LOGIND = """\
[Login]
HandlePowerKey=poweroff
NAutoVTs=0
ReserveVT=0
"""

_SYSTEM = """\
[Manager]
DefaultTimeoutStopSec=10s
ShowStatus=no
"""

# Not coldplugged: kinds of devices of which there are many and for which no rule here does anything. `cpu` would
# also load drivers by processor feature (kvm, powernow, ciphers); they load on demand.
_SKIPPED_SUBSYSTEMS = (
    "bdi",
    "clockevents",
    "clocksource",
    "container",
    "cpu",
    "event_source",
    "machinecheck",
    "mem",
    "memory",
    "memory_tiering",
    "node",
    "pci_bus",
    "pcmcia_socket",
    "tty",
    "vc",
    "vtconsole",
    "workqueue",
)
_NO_MATCHES = " ".join(f"--subsystem-nomatch={subsystem}" for subsystem in _SKIPPED_SUBSYSTEMS)
_UDEV_TRIGGER = f"""\
[Service]
ExecStart=
ExecStart=-udevadm trigger --type=devices --action=add {_NO_MATCHES}
"""

_MODPROBE = """\
# Drivers of emulated hardware that nobody reads from.
blacklist i2c_i801
blacklist iTCO_wdt
blacklist lpc_ich
blacklist pcspkr
blacklist psmouse
blacklist serio_raw
blacklist sr_mod
blacklist cdrom
blacklist joydev
blacklist parport_pc
blacklist floppy
"""

_QUIET_STAGE = "[Service]\nStandardOutput=journal\n"

# Filters and name spaces around services that run as root on a machine made to be broken: 0.3 s for each.
_NO_SANDBOX = """\
[Service]
DeviceAllow=
IPAddressDeny=
LockPersonality=no
MemoryDenyWriteExecute=no
NoNewPrivileges=no
PrivateTmp=no
ProtectClock=no
ProtectControlGroups=no
ProtectHome=no
ProtectHostname=no
ProtectKernelLogs=no
ProtectKernelModules=no
ProtectKernelTunables=no
ProtectProc=default
ProtectSystem=no
RestrictAddressFamilies=
RestrictNamespaces=no
RestrictRealtime=no
RestrictSUIDSGID=no
SystemCallArchitectures=
SystemCallFilter=
"""
_SANDBOXED_SERVICES = ("systemd-journald", "systemd-logind", "systemd-networkd", "systemd-udevd")

FILES: Mapping[str, str] = MappingProxyType(
    {
        "boot/grub/grub.cfg": _GRUB_CFG,
        "etc/cloud/cloud.cfg.d/90_vmcluster.cfg": _CLOUD_INIT,
        "etc/modprobe.d/vmcluster.conf": _MODPROBE,
        "etc/ssh/sshd_config.d/10-vmcluster.conf": _SSHD,
        "etc/systemd/journald.conf.d/vmcluster.conf": _JOURNALD,
        "etc/systemd/logind.conf.d/vmcluster.conf": _LOGIND,
        "etc/systemd/system.conf.d/vmcluster.conf": _SYSTEM,
        "etc/systemd/system/cloud-init-local.service.d/vmcluster.conf": (
            f"{_QUIET_STAGE}ExecStart=\nExecStart=/usr/lib/cloud-init/first-stage init --local\n"
        ),
        "etc/systemd/system/cloud-config.service.d/vmcluster.conf": (
            f"[Unit]\nAfter=ssh.service\n{_QUIET_STAGE}ExecCondition=/{LATER_STAGES_PATH}\n"
        ),
        "etc/systemd/system/cloud-final.service.d/vmcluster.conf": (
            f"{_QUIET_STAGE}ExecStart=\nExecStart=/usr/lib/cloud-init/final-stage\n"
        ),
        "etc/systemd/system/ssh.service.d/vmcluster.conf": _SSH_SERVICE,
        "etc/systemd/system/systemd-udev-trigger.service.d/vmcluster.conf": _UDEV_TRIGGER,
        **{f"etc/systemd/system/{name}.service.d/vmcluster.conf": _NO_SANDBOX for name in _SANDBOXED_SERVICES},
        "etc/tiny-initramfs/tiny-initramfs.conf": _INITRAMFS,
        "var/lib/cloud/seed/nocloud/meta-data": _SEED_META_DATA,
        "var/lib/cloud/seed/nocloud/user-data": "",
    }
)

PROGRAMS: Mapping[str, str] = MappingProxyType(
    {
        "etc/kernel/postinst.d/zz-vmcluster-boot": _KERNEL_POSTINST,
        LATER_STAGES_PATH: _LATER_STAGES,
        "usr/lib/cloud-init/first-stage": _FIRST_STAGE,
        "usr/lib/cloud-init/final-stage": _FINAL_STAGE,
    }
)

MASKED_UNITS = (
    # Housekeeping: a test machine must not do anything by itself.
    "apt-daily-upgrade.timer",
    "apt-daily.timer",
    "dpkg-db-backup.timer",
    "e2scrub_all.timer",
    "e2scrub_reap.service",
    "fstrim.timer",
    "systemd-tmpfiles-clean.timer",
    # The network stage has nothing to do (see `_SEED_META_DATA`), and hot plug is not cloud-init's business.
    "cloud-init.service",
    "cloud-init-hotplugd.socket",
    # The serial line is the kernel's: a prompt between two lines of an oops helps nobody.
    "getty-static.service",
    "getty@tty1.service",
    "serial-getty@ttyS0.service",
    "console-getty.service",
    # No waiting for what is static; the later stages of cloud-init wait by themselves when they are needed.
    "systemd-networkd-wait-online.service",
    "systemd-network-generator.service",
    # Modules loaded for hardware and file systems that a guest does not have; they load on first use.
    "modprobe@configfs.service",
    "modprobe@dm_mod.service",
    "modprobe@drm.service",
    "modprobe@efi_pstore.service",
    "modprobe@fuse.service",
    "modprobe@loop.service",
    "sys-fs-fuse-connections.mount",
    "sys-kernel-config.mount",
    # Records, seeds and registrations of a long-lived computer.
    "proc-sys-fs-binfmt_misc.automount",
    "systemd-ask-password-console.path",
    "systemd-ask-password-wall.path",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-initctl.socket",
    "systemd-journal-flush.service",
    "systemd-pcrphase-sysinit.service",
    "systemd-pcrphase.service",
    "systemd-pstore.service",
    "systemd-random-seed.service",
    "systemd-repart.service",
    "systemd-sysusers.service",
    "systemd-update-utmp-runlevel.service",
    "systemd-update-utmp.service",
)

MASKED_GENERATORS = (
    # Whether cloud-init runs is not in question here: its target is enabled by a link.
    "cloud-init-generator",
    "systemd-cryptsetup-generator",
    "systemd-getty-generator",
    "systemd-gpt-auto-generator",
    "systemd-hibernate-resume-generator",
    "systemd-integritysetup-generator",
    "systemd-rc-local-generator",
    "systemd-system-update-generator",
    "systemd-sysv-generator",
    "systemd-veritysetup-generator",
)

MASKED_UDEV_RULES = ("66-azure-ephemeral.rules", "96-e2scrub.rules", "85-hwclock.rules")


@dataclass(frozen=True, slots=True)
class OverlayFile:
    """A file of the overlay; `link_to` makes it a symbolic link, and then there is no content."""

    path: str
    content: bytes = b""
    mode: int = 0o644
    link_to: str | None = None


def overlay_files() -> list[OverlayFile]:
    """Everything that is laid over the packages' files, sorted by path."""
    masked = [
        *(f"etc/systemd/system/{unit}" for unit in MASKED_UNITS),
        *(f"etc/systemd/system-generators/{generator}" for generator in MASKED_GENERATORS),
        *(f"etc/udev/rules.d/{rules}" for rules in MASKED_UDEV_RULES),
    ]
    files = [
        *(OverlayFile(path, content.encode()) for path, content in FILES.items()),
        *(OverlayFile(path, content.encode(), 0o755) for path, content in PROGRAMS.items()),
        *(OverlayFile(path, link_to="/dev/null") for path in masked),
        OverlayFile(
            "etc/systemd/system/multi-user.target.wants/cloud-init.target",
            link_to="/lib/systemd/system/cloud-init.target",
        ),
        OverlayFile("etc/systemd/system/default.target", link_to="/lib/systemd/system/multi-user.target"),
    ]
    return sorted(files, key=lambda file: file.path)
