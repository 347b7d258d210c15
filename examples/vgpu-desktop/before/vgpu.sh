#!/bin/sh
# Two vGPUs of another card, by hand after each boot.
cd /sys/class/mdev_bus/0000:3b:00.0/mdev_supported_types
echo aa618089-8b16-4d01-a136-25a0f3c73123 > /sys/class/mdev_bus/0000:3b:00.0/mdev_supported_types/nvidia-232/create
echo 2f3c1b52-6f0e-4f4c-9b6e-1d0f5a6b7c8d > /sys/class/mdev_bus/0000:3b:00.0/mdev_supported_types/nvidia-232/create
ls /sys/bus/mdev/devices
