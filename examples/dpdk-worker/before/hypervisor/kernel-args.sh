#!/bin/bash
# The options of the tool have slipped into the quotes.
grubby --args="intel_iommu=on iommu=pt rd.driver.pre=vfio-pci --update-kernel=ALL"
