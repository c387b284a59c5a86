"""Keys of a cloud-config that cloud-init silently ignores. Pure.

Its schema allows unknown keys, as images may bring their own modules: refused are only keys that mean something else
here, or nearly match one that it knows.
"""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from reconciler.host.cloud_init.cloud_config_values import Place

_WORDS = """
    allow_public_ssh_keys ansible apk_repos apt apt_pipelining apt_reboot_if_required apt_update apt_upgrade
    authkey_hash autoinstall bootcmd byobu_by_default ca_certs chef chpasswd cloud_config_modules cloud_final_modules
    cloud_init_modules create_hostname_file datasource datasource_list debug device_aliases disable_ec2_metadata
    disable_root disable_root_opts disk_setup drivers fan final_message fqdn fs_setup groups growpart grub_dpkg
    hostname keyboard landscape locale locale_configfile lxd manage_etc_hosts manage_resolv_conf mcollective merge_how
    merge_type migrate mount_default_fields mounts network no_ssh_fingerprints ntp output package_reboot_if_required
    package_update package_upgrade packages password phone_home power_state prefer_fqdn_over_hostname
    preserve_hostname puppet random_seed raspberry_pi reporting resize_rootfs resolv_conf rh_subscription rpi rsyslog
    runcmd salt_minion snap spacewalk ssh ssh_authorized_keys ssh_deletekeys ssh_fp_console_blacklist ssh_genkeytypes
    ssh_import_id ssh_key_console_blacklist ssh_keys ssh_publish_hostkeys ssh_pwauth ssh_quiet_keygen swap system_info
    timezone ubuntu_advantage ubuntu_pro updates user users vendor_data vendor_data2 wireguard write_files
    yum_repo_dir yum_repos zypper
"""
_KNOWN = frozenset(_WORDS.split())
"""The top-level keys of cloud-init's schema, up to 24.4."""
_WITH_DASHES = frozenset({"ca-certs", "grub-dpkg"})
_OF_METADATA = "is read from a seed's meta-data only, which vmcluster writes (remove it)"
_BELONGS_HERE = "its keys belong directly here (remove the line and one level of indentation)"
_FOREIGN = {
    **dict.fromkeys(("#cloud-config", "cloud-config", "cloud_config", "user-data", "user_data"), _BELONGS_HERE),
    **dict.fromkeys(("instance-id", "instance_id", "local-hostname", "local_hostname"), _OF_METADATA),
    "system_info": "is read from the image's own /etc/cloud only (write its settings directly here, such as `user`)",
    "ignition": "is Ignition, which cloud-init does not read (write cloud-config)",
    "autoinstall": "is read by an installer, and nothing is installed here (write its `user-data` directly here)",
}
_BUTANE = "variant"
_CLOSE = 0.88


def spelling_problems(user_data: Mapping[str, Any]) -> Iterator[tuple[Place, str]]:
    """Top-level keys that would have no effect, though the user expects one."""
    for key in user_data:
        close = "" if key in _KNOWN | _WITH_DASHES else _nearly(key)
        if why := _FOREIGN.get(key) or _FOREIGN.get(close):
            yield (key,), why
        elif close:
            yield (key,), f"is not a key of cloud-config, so it would have no effect (did you mean {close}?)"
    if _BUTANE in user_data and "version" in user_data:
        yield (_BUTANE,), "is Butane, which cloud-init does not read (write cloud-config)"


def _nearly(key: str) -> str:
    plain = {known.replace("_", ""): known for known in sorted(_KNOWN)}
    close = difflib.get_close_matches(key.lower().replace("-", "").replace("_", ""), plain, n=1, cutoff=_CLOSE)
    return plain[close[0]] if close else ""
