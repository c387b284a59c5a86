"""How a guest uses a root disk that is larger than the image. Pure.

Most images bring growpart(1), which cloud-init runs at every boot. Without it, sfdisk(8) and partx(8) of util-linux
do the same, and only if more than a MiB of the disk follows the last partition.
"""

GROW_ROOT = """if ! command -v growpart >/dev/null; then
part=/sys/dev/block/$(mountpoint -d /)
if number=$(cat $part/partition); then
disk=$(readlink -f $part/..)
end=$(($(cat $part/start) + $(cat $part/size)))
if [ $((end + 2048)) -lt $(cat $disk/size) ]; then
echo ', +' | sfdisk --force --no-reread --no-tell-kernel -N $number /dev/${disk##*/}
partx --update --nr $number /dev/${disk##*/}
fi
fi
name=$(readlink -f $part)
resize2fs /dev/${name##*/}
fi"""
"""Shell commands for every boot, which do nothing if there is nothing to grow."""
