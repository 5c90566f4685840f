#!/usr/bin/env bash
# A machine in namespaces of its own whose PID 1 is this host's systemd, with our units and none of the
# host's: systemd_box.sh FOLDER ROOT BINARIES...
#
# Run it by `unshare --pid --mount --propagation=private --net --ipc --uts --cgroup --fork`. All that it
# writes is in a tmpfs on FOLDER. ROOT is the checkout; BINARIES are folders that must be seen inside
# although units hide /home and /root, and headrace and tailrace are in the first of them.
set -euo pipefail

readonly BOX=$1 CHECKOUT=$2
readonly -a BINARIES=("${@:3}")
readonly ROOT=$BOX/root
readonly UNITS=$ROOT/etc/systemd/system

mount -t tmpfs tmpfs "$BOX"
mkdir "$BOX/upper" "$BOX/work" "$ROOT"
mount -t overlay -o "lowerdir=/,upperdir=$BOX/upper,workdir=$BOX/work" overlay "$ROOT"
for folder in "$CHECKOUT" "${BINARIES[@]}"; do # on disks of their own, perhaps
    mkdir -p "$ROOT$folder"
    mount --bind "$folder" "$ROOT$folder"
done

# What PID 1 would mount, or change, if it did not find it.
mount -t proc proc "$ROOT/proc"
mount --bind -o ro "$ROOT/proc/sys" "$ROOT/proc/sys"
mount -t sysfs -o ro sysfs "$ROOT/sys"
mount -t cgroup2 cgroup2 "$ROOT/sys/fs/cgroup"
mount -t tmpfs -o mode=0755 tmpfs "$ROOT/run"
mount -t tmpfs -o mode=0755 tmpfs "$ROOT/dev"
for device in null zero full random urandom tty; do
    touch "$ROOT/dev/$device"
    mount --bind "/dev/$device" "$ROOT/dev/$device"
done
mkdir "$ROOT/dev/pts" "$ROOT/dev/shm" "$ROOT/dev/mqueue" "$ROOT/dev/hugepages"
mount -t devpts -o newinstance devpts "$ROOT/dev/pts"
ln -s pts/ptmx "$ROOT/dev/ptmx"

# Of units, ours alone; the targets that every service stands on are empty.
for folder in /usr/lib/systemd/system /usr/lib/systemd/system-generators /etc/systemd/system; do
    mkdir -p "$ROOT$folder"
    mount -t tmpfs -o mode=0755 tmpfs "$ROOT$folder"
done
for target in sysinit basic network shutdown multi-user box; do
    printf '[Unit]\nDefaultDependencies=no\nAllowIsolate=yes\n' >"$UNITS/$target.target"
done
for name in headrace tailrace; do
    cp "$CHECKOUT/packaging/systemd/$name.service" "$UNITS"
    ln -sf "${BINARIES[0]}/$name" "$ROOT/usr/local/bin/$name"
    mkdir "$UNITS/$name.service.d"
    {
        printf '[Service]\nProtectHome=tmpfs\n'
        printf 'StandardOutput=append:/%s.log\nStandardError=append:/%s.log\n' "$name" "$name"
        printf 'BindReadOnlyPaths=%s\n' "$CHECKOUT" "${BINARIES[@]}"
    } >"$UNITS/$name.service.d/box.conf"
done
rm -f "$ROOT/etc/machine-id"
echo 0123456789abcdef0123456789abcdef >"$ROOT/etc/machine-id"

cd "$ROOT"
mkdir old
pivot_root . old
umount -l /old
ip link set lo up
exec env -i container=box PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin \
    /usr/lib/systemd/systemd --system --unit=box.target --log-target=console --show-status=no
