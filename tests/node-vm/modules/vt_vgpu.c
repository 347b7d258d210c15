// SPDX-License-Identifier: GPL-2.0
/*
 * A card that gives out shares of itself: a PCI driver for QEMU's edu device (1234:11e8, which the kernel has no driver for), parent of
 * mediated devices as a vendor's vGPU driver is. The kernel's samples of that kind have no PCI function.
 *
 * A share is a display (PCI class 0380) with one BAR, which is its framebuffer in memory of the host. It does no DMA and has no
 * interrupts, and QEMU can show what is in it.
 */
#include <linux/mdev.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/vfio.h>
#include <linux/vmalloc.h>
#include <drm/drm_fourcc.h>

/* All types together: a share of two parts is two of one part. */
#define VT_VGPU_PARTS 4
/* Where a region begins in the file: config space, then the framebuffer. */
#define VT_VGPU_CONFIG 0
#define VT_VGPU_FRAME PAGE_SIZE
#define VT_VGPU_WIDTH 640
#define VT_VGPU_HEIGHT 400
#define VT_VGPU_STRIDE (VT_VGPU_WIDTH * 4)
/* A power of two, as a BAR is, above the stride times the height. */
#define VT_VGPU_SIZE SZ_1M

struct vt_vgpu_type {
	struct mdev_type type;
	int parts;
};

struct vt_vgpu_card {
	struct mdev_parent parent;
	struct mutex lock;
	int free;
};

struct vt_vgpu {
	struct vfio_device vdev;
	struct vt_vgpu_card *card;
	int parts;
	struct mutex lock;
	u8 config[PCI_CFG_SPACE_SIZE];
	u8 *frame;
};

static struct vt_vgpu_type vt_vgpu_1q = {
	.type = { .sysfs_name = "1q", .pretty_name = "Vt 1Q" },
	.parts = 1,
};
static struct vt_vgpu_type vt_vgpu_2q = {
	.type = { .sysfs_name = "2q", .pretty_name = "Vt 2Q" },
	.parts = 2,
};
static struct mdev_type *vt_vgpu_types[] = { &vt_vgpu_1q.type, &vt_vgpu_2q.type };

static struct vt_vgpu *to_vgpu(struct vfio_device *vdev)
{
	return container_of(vdev, struct vt_vgpu, vdev);
}

static struct vt_vgpu_card *card_of(struct mdev_type *type)
{
	return container_of(type->parent, struct vt_vgpu_card, parent);
}

static int parts_of(struct mdev_type *type)
{
	return container_of(type, struct vt_vgpu_type, type)->parts;
}

static void put16(u8 *to, u16 value)
{
	__le16 little = cpu_to_le16(value);

	memcpy(to, &little, sizeof(little));
}

static void put32(u8 *to, u32 value)
{
	__le32 little = cpu_to_le32(value);

	memcpy(to, &little, sizeof(little));
}

/* As after power-on: an empty screen and a BAR that lies nowhere. */
static void vt_vgpu_reset(struct vt_vgpu *vgpu)
{
	u8 *config = vgpu->config;

	memset(config, 0, PCI_CFG_SPACE_SIZE);
	put16(config + PCI_VENDOR_ID, 0x1234);
	put16(config + PCI_DEVICE_ID, 0x11e9);
	put16(config + PCI_CLASS_DEVICE, PCI_CLASS_DISPLAY_OTHER);
	put16(config + PCI_SUBSYSTEM_VENDOR_ID, 0x1234);
	put16(config + PCI_SUBSYSTEM_ID, vgpu->parts);
	put32(config + PCI_BASE_ADDRESS_0, PCI_BASE_ADDRESS_MEM_PREFETCH);
	memset(vgpu->frame, 0, VT_VGPU_SIZE);
}

/* Only a guest's word on the command register and on where the BAR lies counts. */
static void vt_vgpu_config_written(struct vt_vgpu *vgpu, const u8 *data, size_t count, loff_t pos)
{
	u8 *config = vgpu->config;
	u32 bar;
	size_t i;

	for (i = 0; i < count; i++) {
		loff_t at = pos + i;

		if (at == PCI_COMMAND || (at >= PCI_BASE_ADDRESS_0 && at < PCI_BASE_ADDRESS_1))
			config[at] = data[i];
	}
	config[PCI_COMMAND] &= PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER;
	memcpy(&bar, config + PCI_BASE_ADDRESS_0, sizeof(bar));
	bar = (le32_to_cpu(bar) & ~(VT_VGPU_SIZE - 1)) | PCI_BASE_ADDRESS_MEM_PREFETCH;
	put32(config + PCI_BASE_ADDRESS_0, bar);
}

static u8 *vt_vgpu_at(struct vt_vgpu *vgpu, loff_t pos, size_t *count)
{
	if (pos >= VT_VGPU_CONFIG && pos < VT_VGPU_CONFIG + PCI_CFG_SPACE_SIZE) {
		*count = min_t(size_t, *count, VT_VGPU_CONFIG + PCI_CFG_SPACE_SIZE - pos);
		return vgpu->config + pos - VT_VGPU_CONFIG;
	}
	if (pos >= VT_VGPU_FRAME && pos < VT_VGPU_FRAME + VT_VGPU_SIZE) {
		*count = min_t(size_t, *count, VT_VGPU_FRAME + VT_VGPU_SIZE - pos);
		return vgpu->frame + pos - VT_VGPU_FRAME;
	}
	return NULL;
}

static ssize_t vt_vgpu_read(struct vfio_device *vdev, char __user *buf, size_t count, loff_t *ppos)
{
	struct vt_vgpu *vgpu = to_vgpu(vdev);
	u8 *from = vt_vgpu_at(vgpu, *ppos, &count);
	ssize_t done = count;

	if (!from)
		return -EINVAL;
	mutex_lock(&vgpu->lock);
	if (copy_to_user(buf, from, count))
		done = -EFAULT;
	else
		*ppos += count;
	mutex_unlock(&vgpu->lock);
	return done;
}

static ssize_t vt_vgpu_write(struct vfio_device *vdev, const char __user *buf, size_t count, loff_t *ppos)
{
	struct vt_vgpu *vgpu = to_vgpu(vdev);
	u8 *to = vt_vgpu_at(vgpu, *ppos, &count);
	u8 data[PCI_CFG_SPACE_SIZE];
	ssize_t done = count;

	if (!to)
		return -EINVAL;
	mutex_lock(&vgpu->lock);
	if (*ppos >= VT_VGPU_FRAME) {
		if (copy_from_user(to, buf, count))
			done = -EFAULT;
	} else if (copy_from_user(data, buf, count)) {
		done = -EFAULT;
	} else {
		vt_vgpu_config_written(vgpu, data, count, *ppos - VT_VGPU_CONFIG);
	}
	if (done > 0)
		*ppos += done;
	mutex_unlock(&vgpu->lock);
	return done;
}

static int vt_vgpu_mmap(struct vfio_device *vdev, struct vm_area_struct *vma)
{
	unsigned long first = VT_VGPU_FRAME >> PAGE_SHIFT;

	if (vma->vm_pgoff < first || !(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	/* Refuses itself what goes beyond the end. */
	return remap_vmalloc_range(vma, to_vgpu(vdev)->frame, vma->vm_pgoff - first);
}

static long vt_vgpu_info(void __user *arg)
{
	size_t size = offsetofend(struct vfio_device_info, num_irqs);
	struct vfio_device_info info = {};

	if (copy_from_user(&info, arg, size))
		return -EFAULT;
	if (info.argsz < size)
		return -EINVAL;
	info.flags = VFIO_DEVICE_FLAGS_PCI | VFIO_DEVICE_FLAGS_RESET;
	info.num_regions = VFIO_PCI_NUM_REGIONS;
	info.num_irqs = VFIO_PCI_NUM_IRQS;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

/* How struct vfio_region_info and struct vfio_irq_info begin. */
struct vt_vgpu_asked {
	__u32 argsz;
	__u32 flags;
	__u32 index;
};

/* Takes a question about one of so many things. */
static long vt_vgpu_asked(void *info, size_t size, __u32 count, void __user *arg)
{
	struct vt_vgpu_asked *asked = info;

	if (copy_from_user(info, arg, size))
		return -EFAULT;
	return asked->argsz < size || asked->index >= count ? -EINVAL : 0;
}

static long vt_vgpu_region(void __user *arg)
{
	size_t size = offsetofend(struct vfio_region_info, offset);
	struct vfio_region_info info = {};
	long wrong = vt_vgpu_asked(&info, size, VFIO_PCI_NUM_REGIONS, arg);

	if (wrong)
		return wrong;
	info.flags = info.size = info.offset = info.cap_offset = 0;
	if (info.index == VFIO_PCI_CONFIG_REGION_INDEX) {
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE;
		info.size = PCI_CFG_SPACE_SIZE;
		info.offset = VT_VGPU_CONFIG;
	} else if (info.index == VFIO_PCI_BAR0_REGION_INDEX) {
		info.flags = VFIO_REGION_INFO_FLAG_READ | VFIO_REGION_INFO_FLAG_WRITE | VFIO_REGION_INFO_FLAG_MMAP;
		info.size = VT_VGPU_SIZE;
		info.offset = VT_VGPU_FRAME;
	}
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

static long vt_vgpu_irq(void __user *arg)
{
	size_t size = offsetofend(struct vfio_irq_info, count);
	struct vfio_irq_info info = {};
	long wrong = vt_vgpu_asked(&info, size, VFIO_PCI_NUM_IRQS, arg);

	if (wrong)
		return wrong;
	info.flags = info.count = 0;
	return copy_to_user(arg, &info, size) ? -EFAULT : 0;
}

static long vt_vgpu_plane(void __user *arg)
{
	size_t size = offsetofend(struct vfio_device_gfx_plane_info, region_index);
	struct vfio_device_gfx_plane_info plane = {};

	if (copy_from_user(&plane, arg, size))
		return -EFAULT;
	if (plane.argsz < size || (plane.flags & ~VFIO_GFX_PLANE_TYPE_PROBE) != VFIO_GFX_PLANE_TYPE_REGION)
		return -EINVAL;
	if (plane.flags & VFIO_GFX_PLANE_TYPE_PROBE)
		return 0;
	plane.drm_format = DRM_FORMAT_XRGB8888;
	plane.width = VT_VGPU_WIDTH;
	plane.height = VT_VGPU_HEIGHT;
	plane.stride = VT_VGPU_STRIDE;
	plane.size = VT_VGPU_STRIDE * VT_VGPU_HEIGHT;
	plane.region_index = VFIO_PCI_BAR0_REGION_INDEX;
	return copy_to_user(arg, &plane, size) ? -EFAULT : 0;
}

static long vt_vgpu_ioctl(struct vfio_device *vdev, unsigned int cmd, unsigned long arg)
{
	struct vt_vgpu *vgpu = to_vgpu(vdev);
	void __user *at = (void __user *)arg;

	switch (cmd) {
	case VFIO_DEVICE_GET_INFO:
		return vt_vgpu_info(at);
	case VFIO_DEVICE_GET_REGION_INFO:
		return vt_vgpu_region(at);
	case VFIO_DEVICE_GET_IRQ_INFO:
		return vt_vgpu_irq(at);
	case VFIO_DEVICE_QUERY_GFX_PLANE:
		return vt_vgpu_plane(at);
	case VFIO_DEVICE_RESET:
		mutex_lock(&vgpu->lock);
		vt_vgpu_reset(vgpu);
		mutex_unlock(&vgpu->lock);
		return 0;
	default:
		return -ENOTTY;
	}
}

/* Takes its parts of the card; they come back in release, which is also called if what follows this goes wrong. */
static int vt_vgpu_init_dev(struct vfio_device *vdev)
{
	struct mdev_type *type = to_mdev_device(vdev->dev)->type;
	struct vt_vgpu *vgpu = to_vgpu(vdev);
	struct vt_vgpu_card *card = card_of(type);
	int err = 0;

	vgpu->frame = vmalloc_user(VT_VGPU_SIZE);
	if (!vgpu->frame)
		return -ENOMEM;
	mutex_lock(&card->lock);
	if (card->free < parts_of(type))
		err = -ENOSPC;
	else
		card->free -= parts_of(type);
	mutex_unlock(&card->lock);
	if (err) {
		vfree(vgpu->frame);
		return err;
	}
	vgpu->card = card;
	vgpu->parts = parts_of(type);
	mutex_init(&vgpu->lock);
	vt_vgpu_reset(vgpu);
	return 0;
}

static void vt_vgpu_release_dev(struct vfio_device *vdev)
{
	struct vt_vgpu *vgpu = to_vgpu(vdev);

	mutex_lock(&vgpu->card->lock);
	vgpu->card->free += vgpu->parts;
	mutex_unlock(&vgpu->card->lock);
	mutex_destroy(&vgpu->lock);
	vfree(vgpu->frame);
}

static const struct vfio_device_ops vt_vgpu_ops = {
	.name = "vt_vgpu",
	.init = vt_vgpu_init_dev,
	.release = vt_vgpu_release_dev,
	.read = vt_vgpu_read,
	.write = vt_vgpu_write,
	.ioctl = vt_vgpu_ioctl,
	.mmap = vt_vgpu_mmap,
	.bind_iommufd = vfio_iommufd_emulated_bind,
	.unbind_iommufd = vfio_iommufd_emulated_unbind,
	.attach_ioas = vfio_iommufd_emulated_attach_ioas,
	.detach_ioas = vfio_iommufd_emulated_detach_ioas,
};

static int vt_vgpu_mdev_probe(struct mdev_device *mdev)
{
	struct vt_vgpu *vgpu = vfio_alloc_device(vt_vgpu, vdev, &mdev->dev, &vt_vgpu_ops);
	int err;

	if (IS_ERR(vgpu))
		return PTR_ERR(vgpu);
	dev_set_drvdata(&mdev->dev, vgpu);
	err = vfio_register_emulated_iommu_dev(&vgpu->vdev);
	if (err)
		vfio_put_device(&vgpu->vdev);
	return err;
}

static void vt_vgpu_mdev_remove(struct mdev_device *mdev)
{
	struct vt_vgpu *vgpu = dev_get_drvdata(&mdev->dev);

	vfio_unregister_group_dev(&vgpu->vdev);
	vfio_put_device(&vgpu->vdev);
}

static unsigned int vt_vgpu_available(struct mdev_type *type)
{
	struct vt_vgpu_card *card = card_of(type);
	unsigned int left;

	mutex_lock(&card->lock);
	left = card->free / parts_of(type);
	mutex_unlock(&card->lock);
	return left;
}

static ssize_t vt_vgpu_description(struct mdev_type *type, char *buf)
{
	return sysfs_emit(buf, "%d of %d parts\n", parts_of(type), VT_VGPU_PARTS);
}

static struct mdev_driver vt_vgpu_mdev_driver = {
	.device_api = VFIO_DEVICE_API_PCI_STRING,
	.driver = {
		.name = "vt_vgpu",
		.owner = THIS_MODULE,
		.mod_name = KBUILD_MODNAME,
	},
	.probe = vt_vgpu_mdev_probe,
	.remove = vt_vgpu_mdev_remove,
	.get_available = vt_vgpu_available,
	.show_description = vt_vgpu_description,
};

/* There is one list of types, as each knows its parent: so there is one card. */
static int vt_vgpu_probe(struct pci_dev *dev, const struct pci_device_id *id)
{
	struct vt_vgpu_card *card = devm_kzalloc(&dev->dev, sizeof(*card), GFP_KERNEL);

	if (!card)
		return -ENOMEM;
	if (vt_vgpu_1q.type.parent)
		return -EBUSY;
	mutex_init(&card->lock);
	card->free = VT_VGPU_PARTS;
	pci_set_drvdata(dev, card);
	return mdev_register_parent(&card->parent, &dev->dev, &vt_vgpu_mdev_driver, vt_vgpu_types, ARRAY_SIZE(vt_vgpu_types));
}

static void vt_vgpu_remove(struct pci_dev *dev)
{
	struct vt_vgpu_card *card = pci_get_drvdata(dev);

	mdev_unregister_parent(&card->parent);
	vt_vgpu_1q.type.parent = NULL;
}

static const struct pci_device_id vt_vgpu_ids[] = {
	{ PCI_DEVICE(0x1234, 0x11e8) },
	{}
};
MODULE_DEVICE_TABLE(pci, vt_vgpu_ids);

static struct pci_driver vt_vgpu_driver = {
	.name = "vt_vgpu",
	.id_table = vt_vgpu_ids,
	.probe = vt_vgpu_probe,
	.remove = vt_vgpu_remove,
};

static int __init vt_vgpu_init(void)
{
	int err = mdev_register_driver(&vt_vgpu_mdev_driver);

	if (err)
		return err;
	err = pci_register_driver(&vt_vgpu_driver);
	if (err)
		mdev_unregister_driver(&vt_vgpu_mdev_driver);
	return err;
}
module_init(vt_vgpu_init);

static void __exit vt_vgpu_exit(void)
{
	pci_unregister_driver(&vt_vgpu_driver);
	mdev_unregister_driver(&vt_vgpu_mdev_driver);
}
module_exit(vt_vgpu_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A card that gives out mediated devices in tests");
