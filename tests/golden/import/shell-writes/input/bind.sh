#!/bin/bash
set -e
cd /sys/bus/pci/drivers/nouveau; echo 0000:01:00.0 > unbind
cd ../../devices/0000:01:00.0 && echo vfio-pci | tee driver_override > /dev/null
echo 0 > $con/bind
for con in /sys/class/vtconsole/vtcon*; do
  grep -q "frame buffer" "$con/name" && printf '0\n' > "$con/bind"
done
while read dev; do
  echo "$dev" | sudo tee "$dev/driver/unbind"
done < /tmp/list
cd "$somewhere"
echo 1 > remove
go() { cd /sys/devices/system/node/node0/hugepages/hugepages-1048576kB; }
go
echo 4 > nr_hugepages
(cd /sys/kernel/mm && true)
echo 8 > nr_hugepages
cd /; echo 2 > sys/class/net/ens1f0/device/sriov_numvfs
cd -
echo 3 > sriov_numvfs
echo "done at $(date)" > "/tmp/prepare-$$.log"
echo "done" > "/$log"
lspci > devices.txt
find /sys/class/vtconsole -name 'vtcon*'
find /sys/class/vtconsole/ -name bind -exec sh -c 'echo 0 > {}' \;
echo on | tee -a /sys/bus/pci/devices/0000:01:00.0/power/control /sys/bus/pci/devices/0000:01:00.1/power/control
