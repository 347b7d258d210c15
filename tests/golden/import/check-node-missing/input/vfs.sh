#!/bin/sh
echo 4 > /sys/class/net/ens9f9/device/sriov_numvfs
echo nvidia-700 > /sys/bus/pci/devices/0000:99:00.4/nvidia/current_vgpu_type
