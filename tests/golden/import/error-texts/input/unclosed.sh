#!/bin/sh
modprobe vfio-pci
echo 'it is done
modprobe -r nouveau
