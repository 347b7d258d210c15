# Fits this guest to the profile of its VM. Runs at every boot, before the other boot commands; a second run changes nothing.
# What is asked stands at the end, as arguments of the functions above it.
set -f
umask 022
root=${VIRT_TAILOR_ROOT:-}
state=$root/var/lib/virt-tailor
modprobe_changed=
wanted=

say() { echo "virt-tailor: $*"; }

# put FILE [LINE...]: the file has these lines and no others; without lines there is no such file. True if that changed anything.
put() {
  file=$root$1
  shift
  if [ $# -eq 0 ]; then
    [ -e "$file" ] && rm -f "$file"
    return
  fi
  [ "$(cat "$file" 2>/dev/null)" = "$(printf '%s\n' "$@")" ] && return 1
  mkdir -p "${file%/*}" && printf '%s\n' "$@" >"$file.new" && mv -f "$file.new" "$file" && return
  say "cannot write $file"
  return 1
}

sys_module() { echo "$root/sys/module/$(echo "$1" | tr - _)"; }

# deny MODULE: unloads what came before the files that deny it were read.
deny() {
  dir=$(sys_module "$1")
  [ -d "$dir" ] || return
  if [ ! -e "$dir/initstate" ]; then
    say "$1 is built into the kernel and cannot be denied"
  elif ! modprobe -r "$1"; then
    say "$1 is in use: it stays until the next boot"
  fi
}

# load MODULE OPTIONS: a module that is there already gets new options through sysfs, as far as it takes them.
load() {
  dir=$(sys_module "$1")
  before=
  [ -d "$dir" ] && before=yes
  modprobe "$1" || say "cannot load $1"
  [ "$before" ] && [ "$modprobe_changed" ] || return
  for option in $2; do
    key=${option%%=*}
    value=${option#*=}
    new_id=$root/sys/bus/pci/drivers/$1/new_id
    if [ "$key" = ids ] && [ -w "$new_id" ]; then
      for id in $(echo "$value" | tr , ' '); do
        # An id that the driver knows already is refused, and nothing is lost.
        echo "$id" | tr : ' ' 2>/dev/null >"$new_id" || :
      done
    elif [ "$(cat "$dir/parameters/$key" 2>/dev/null)" != "$value" ] &&
      ! echo "$value" 2>/dev/null >"$dir/parameters/$key"; then
      say "$1 was loaded before: its option $key takes effect at the next boot"
    fi
  done
}

# hugepages KIB COUNT [KERNEL ARGUMENT...]: at run time; if so many cannot be had, with these arguments at the next boot.
hugepages() {
  kib=$1
  count=$2
  shift 2
  nr=$root/sys/kernel/mm/hugepages/hugepages-${kib}kB/nr_hugepages
  have=$(cat "$nr" 2>/dev/null)
  if [ "$have" ] && [ "$have" != "$count" ]; then
    echo "$count" >"$nr"
    if [ "$(cat "$nr")" -lt "$count" ]; then
      echo 1 2>/dev/null >"$root/proc/sys/vm/compact_memory"
      echo "$count" >"$nr"
    fi
    have=$(cat "$nr")
  fi
  # Once asked for at boot, always: the kernel's own count must not make the arguments come and go.
  early=$state/hugepages-$kib
  if [ "${have:-0}" -lt "$count" ]; then
    say "${have:-0} of $count huge pages of $kib KiB"
    [ $# -gt 0 ] && put "${early#"$root"}" "$*"
  fi
  [ $# -gt 0 ] && [ "$(cat "$early" 2>/dev/null)" = "$*" ] && wanted="$wanted $*"
}

# memlock LIMIT KIB: containers inherit the limit of the daemon that starts them, or of the login session (podman).
memlock() {
  daemons="containerd crio docker k3s k3s-agent podman rke2-agent rke2-server"
  changed=
  for daemon in $daemons; do
    dropin=/etc/systemd/system/$daemon.service.d/90-virt-tailor.conf
    if [ $# -eq 0 ]; then put "$dropin"; else put "$dropin" '[Service]' "LimitMEMLOCK=$1"; fi && changed=yes
  done
  limits=/etc/security/limits.d/90-virt-tailor.conf
  if [ $# -eq 0 ]; then put "$limits"; else put "$limits" "* - memlock $2" "root - memlock $2"; fi
  [ "$changed" ] && command -v systemctl >/dev/null || return
  systemctl daemon-reload
  for daemon in $daemons; do
    systemctl --quiet is-active "$daemon.service" && systemctl --no-block try-restart "$daemon.service"
  done
}

# bootloader: adds $add, removes $remove; $ours is all that is ours then: the arguments of the next boot. False if no tool is there that sets them, or it failed.
bootloader() {
  # Boot commands may come before these are mounted; what is written under them then is lost.
  for mount in boot.mount boot-efi.mount; do
    command -v systemctl >/dev/null && timeout 60 systemctl --quiet start "$mount" 2>/dev/null
  done
  if [ -e "$root/run/ostree-booted" ] && command -v rpm-ostree >/dev/null; then
    set --
    for arg in $add; do set -- "$@" "--append-if-missing=$arg"; done
    for arg in $remove; do set -- "$@" "--delete-if-present=$arg"; done
    rpm-ostree kargs "$@"
  elif command -v grubby >/dev/null; then
    grubby --update-kernel=ALL ${remove:+"--remove-args=$remove"} ${add:+"--args=$add"}
  elif command -v update-grub >/dev/null; then
    # Sorted after the files of cloud images, which set the variable anew.
    if [ "$ours" ]; then
      put /etc/default/grub.d/99-virt-tailor.cfg "GRUB_CMDLINE_LINUX=\"\$GRUB_CMDLINE_LINUX $ours\""
    else
      put /etc/default/grub.d/99-virt-tailor.cfg
    fi
    update-grub
  else
    say "none of rpm-ostree, grubby and update-grub is here"
    return 1
  fi
}

# kernel_args once|never: the next boot has what is wanted, and nothing of what we once added and nobody wants now.
kernel_args() {
  running=" $(cat "$root/proc/cmdline") "
  added=" $(cat "$state/kernel-args" 2>/dev/null) "
  add=
  ours=
  remove=
  for arg in $wanted; do
    case $running in
      *" $arg "*) case $added in *" $arg "*) ours="${ours:+$ours }$arg" ;; esac ;;
      *) add="${add:+$add }$arg" ours="${ours:+$ours }$arg" ;;
    esac
  done
  for arg in $added; do
    case " $wanted " in *" $arg "*) ;; *) remove="${remove:+$remove }$arg" ;; esac
  done
  [ "$add$remove" ] || return
  if ! bootloader; then
    say "kernel arguments are not set: $add"
    return
  fi
  put /var/lib/virt-tailor/kernel-args ${ours:+"$ours"}
  [ "$add" ] && reboot_once "$1"
}

# Every list of arguments is worth one reboot in the life of this disk. It must be on the disk, and read back from there, that the
# reboot was made: otherwise there is none, so there is never a second one.
reboot_once() {
  stamps=$state/rebooted-for
  if grep -qxF -e "$wanted" "$stamps" 2>/dev/null; then
    say "set again, but not rebooting a second time for: $add"
    return
  fi
  if [ "$1" != once ]; then
    say "at the next boot: $add"
    return
  fi
  case $(stat -f -c %T "$state" 2>/dev/null) in
    '' | tmpfs | ramfs | overlay*)
      say "$state would not outlive a reboot; not rebooting for: $add"
      return
      ;;
  esac
  echo "$wanted" >>"$stamps" && sync
  if ! grep -qxF -e "$wanted" "$stamps"; then
    say "cannot write $stamps; not rebooting for: $add"
    return
  fi
  say "rebooting once for: $add"
  systemctl --no-block reboot || reboot
  # Nothing of cloud-init that runs once an instance may begin now: it would not be run again.
  sleep 300
}

