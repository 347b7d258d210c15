// SPDX-License-Identifier: GPL-2.0
/*
 * A driver for QEMU's pci-testdev that does nothing but be there: built twice, as version A and B, for scenarios that swap one
 * build for another. /dev/vt_toy held open keeps it busy; vt_toy_user holds it as a dependent module does.
 */
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>
#include <linux/pci.h>

static int answer = 42;
module_param(answer, int, 0644);
MODULE_PARM_DESC(answer, "a number that does nothing");

int vt_toy_answer(void);
int vt_toy_answer(void)
{
	return answer;
}
EXPORT_SYMBOL_GPL(vt_toy_answer);

static const struct file_operations vt_toy_file = {
	.owner = THIS_MODULE,
};

static struct miscdevice vt_toy_misc = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "vt_toy",
	.fops = &vt_toy_file,
};

static const struct pci_device_id vt_toy_ids[] = {
	{ PCI_DEVICE(0x1b36, 0x0005) },
	{}
};
MODULE_DEVICE_TABLE(pci, vt_toy_ids);

static int vt_toy_probe(struct pci_dev *dev, const struct pci_device_id *id)
{
	pci_info(dev, "vt_toy %s\n", VT_TOY_VERSION);
	return 0;
}

static struct pci_driver vt_toy_driver = {
	.name = "vt_toy",
	.id_table = vt_toy_ids,
	.probe = vt_toy_probe,
};

static int __init vt_toy_init(void)
{
	int err = misc_register(&vt_toy_misc);

	if (err)
		return err;
	err = pci_register_driver(&vt_toy_driver);
	if (err)
		misc_deregister(&vt_toy_misc);
	return err;
}
module_init(vt_toy_init);

static void __exit vt_toy_exit(void)
{
	pci_unregister_driver(&vt_toy_driver);
	misc_deregister(&vt_toy_misc);
}
module_exit(vt_toy_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A driver that is swapped in tests");
MODULE_VERSION(VT_TOY_VERSION);
