#!/bin/sh
echo 0 > /sys/class/vtconsole/vtcon0/bind
echo 0 > /sys/class/vtconsole/vtcon1/bind
echo vfio-pci > /sys/bus/pci/devices/0000:00:14.0/driver_override
echo 8086 7270 > /sys/bus/pci/drivers/vfio-pci/new_id
echo 4 > /sys/class/net/ens1f0/device/sriov_numvfs
modprobe -d /opt/x i40e
