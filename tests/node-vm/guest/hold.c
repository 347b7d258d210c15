/* Holds a PCI function through its VFIO group, as QEMU does, until it is killed: hold GROUP BDF. Says "held" when it does. */
#include <fcntl.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/vfio.h>

int main(int count, char **words)
{
	char path[64];

	if (count != 3)
		return 2;
	snprintf(path, sizeof(path), "/dev/vfio/%s", words[1]);
	int container = open("/dev/vfio/vfio", O_RDWR);
	int group = open(path, O_RDWR);

	if (container < 0 || group < 0) {
		perror(path);
		return 1;
	}
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container)) {
		perror("VFIO_GROUP_SET_CONTAINER");
		return 1;
	}
	if (ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		perror("VFIO_SET_IOMMU");
		return 1;
	}
	if (ioctl(group, VFIO_GROUP_GET_DEVICE_FD, words[2]) < 0) {
		perror("VFIO_GROUP_GET_DEVICE_FD");
		return 1;
	}
	puts("held");
	fflush(stdout);
	for (;;)
		pause();
}
