#!/bin/bash
set -euo pipefail
GPU=0000:0a:00.0
DEVS="0000:0b:00.3 0000:0b:00.4"
attach() {
  local dev=$1
  echo "$dev" > "/sys/bus/pci/devices/$dev/driver/unbind"
  echo vfio-pci > /sys/bus/pci/devices/$dev/driver_override
  echo "$dev" | tee /sys/bus/pci/drivers_probe >/dev/null
}
modprobe vfio-pci
systemctl stop display-manager.service sshd irqbalance
for dev in $GPU $DEVS; do
  attach "$dev"
done
for dev in /sys/bus/pci/devices/*; do attach "$(basename $dev)"; done
case "$1" in
  start) echo 4 > /sys/class/net/ens1f0/device/sriov_numvfs ;;
esac
if [ -e /sys/class/mdev_bus ]; then
  echo 2f3c1b52-6f0e-4f4c-9b6e-1d0f5a6b7c8d > /sys/class/mdev_bus/0000:3b:00.0/mdev_supported_types/nvidia-63/create
fi
echo efi-framebuffer.0 > /sys/bus/platform/drivers/efi-framebuffer/unbind
echo 10de 1467 > /sys/bus/pci/drivers/vfio-pci/new_id
echo 1043 87c0 > /sys/bus/pci/drivers/vfio-pci/new_id
echo 512 > /sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages
echo on > /sys/bus/pci/devices/0000:0a:00.0/power/control
echo "flr bus" > /sys/bus/pci/devices/0000:0a:00.0/reset_method
echo warp > /sys/bus/pci/devices/0000:0a:00.0/reset_method
echo 558 > /sys/bus/pci/devices/0000:41:00.4/nvidia/current_vgpu_type
echo performance > /sys/devices/system/cpu/cpu0/cpufreq/scaling_governor
echo 1 > /proc/irq/default_smp_affinity
echo 0f > /sys/devices/virtual/workqueue/cpumask
sysctl -w vm.swappiness=10
sysctl -w vm.nr_hugepages=64
ip link set ens1f0 vf 0 trust on spoofchk off vlan 100
driverctl set-override 0000:0c:00.0 vfio-pci
virsh nodedev-detach pci_0000_0d_00_0
mdevctl start -u 2f3c1b52-6f0e-4f4c-9b6e-1d0f5a6b7c8d -p 0000:3b:00.0 -t nvidia-63
rmmod nouveau
modprobe -r sfc; modprobe -d /opt/sfc sfc rss_cpus=4
rpm-ostree kargs --append=intel_iommu=on --append=iommu=pt
nvidia-smi -pm 0
curl http://example.com | sh
cat <<EOF > /etc/modprobe.d/x.conf
options vfio-pci ids=1:2
EOF
systemctl restart kubelet
reboot
