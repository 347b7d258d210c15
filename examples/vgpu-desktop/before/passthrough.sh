#!/bin/sh
# A card for whole VMs, by hand after each boot; the driver is found with: lspci -d 10de: -k
echo 0000:af:00.0 > /sys/bus/pci/drivers/nouveau/unbind
echo vfio-pci > /sys/bus/pci/devices/0000:af:00.0/driver_override
echo 0000:af:00.0 > /sys/bus/pci/drivers/vfio-pci/bind
echo > /sys/bus/pci/devices/0000:af:00.0/driver_override
grub2-mkconfig -o /boot/grub2/grub.cfg
