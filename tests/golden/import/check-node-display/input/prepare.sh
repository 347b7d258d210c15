echo 0 > /sys/class/vtconsole/vtcon1/bind
modprobe vfio-pci ids=1234:1111,8086:293e
echo vfio-pci > /sys/bus/pci/devices/0000:03:00.0/driver_override
echo 0000:03:00.0 > /sys/bus/pci/drivers/xhci_hcd/unbind
