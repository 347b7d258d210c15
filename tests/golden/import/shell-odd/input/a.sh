#!/usr/bin/env bash
set -euo pipefail
DEVS=("0000:0a:00.0" "0000:0a:00.1")
declare -a IDS=( '10de 2206'
  "10de 1aef" # audio
)
log() { logger -t vfio "$@"; }
bind_vfio() {
  local dev="$1"
  if [[ -e /sys/bus/pci/devices/$dev/driver ]]; then
    echo "$dev" > "/sys/bus/pci/devices/$dev/driver/unbind"
  fi
  echo vfio-pci > "/sys/bus/pci/devices/${dev}/driver_override"
  echo "$dev" | sudo tee /sys/bus/pci/drivers_probe >/dev/null
}
for d in "${DEVS[@]}"; do bind_vfio "$d"; done
for id in "${IDS[@]}"; do echo "$id" > /sys/bus/pci/drivers/vfio-pci/new_id; done
for i in {0..1}; do echo 4 > /sys/class/net/ens1f$i/device/sriov_numvfs; done
for ((i=0; i<4; i++)); do ip link set ens1f0 vf $i trust on; done
cat > /etc/modprobe.d/vfio.conf <<EOC
options vfio-pci ids=10de:2206
blacklist nouveau
EOC
cat <<'EOC' | tee /etc/modules-load.d/vfio.conf
vfio-pci
EOC
tee -a /etc/udev/rules.d/10-vfio.rules >/dev/null <<EOC
ACTION=="add", KERNEL=="0000:0b:00.0", ATTR{driver_override}="vfio-pci"
EOC
echo 'options kvm ignore_msrs=1' >> /etc/modprobe.d/kvm.conf
sed -i 's/GRUB_CMDLINE_LINUX="/&intel_iommu=on /' /etc/default/grub
printf '%s\n' vfio-pci > /sys/bus/pci/devices/0000:0c:00.0/driver_override
printf "0000:0c:00.0" >/sys/bus/pci/drivers/vfio-pci/bind
while read -r bdf; do echo "$bdf" > /sys/bus/pci/drivers/vfio-pci/bind; done < <(lspci -Dn | awk '/10de/{print $1}')
bash <<EOC
echo 0 > /sys/class/vtconsole/vtcon1/bind
EOC
case "$1" in
  start) modprobe vfio-pci ;;
  stop) modprobe -r vfio-pci ;;
esac
VFS=${VFS:-8}; PF=${2:-ens5f0}
echo $VFS > /sys/class/net/$PF/device/sriov_numvfs
echo ${VFS%%x} > /sys/class/net/ens6f0/device/sriov_numvfs
setpci -s 0000:0a:00.0 COMMAND=0x02
dpdk-devbind.py --bind=vfio-pci 0000:3b:02.0
virsh nodedev-detach pci_0000_3d_00_0
echo 1 > /sys/bus/pci/devices/0000:0a:00.0/remove
echo 1 > /sys/bus/pci/rescan
echo 1024 > /proc/sys/vm/nr_hugepages
echo "0000:0e:00.0" > /sys/bus/pci/drivers/{nouveau,nvidia}/unbind
mount -t hugetlbfs none /dev/hugepages
systemctl disable --now irqbalance
taskset -p 3 1
nvidia-smi -pm 1
rpm-ostree kargs --append-if-missing=intel_iommu=on --delete=quiet --append "iommu=pt"
for arg; do echo "$arg" > /sys/bus/pci/drivers/vfio-pci/bind; done
