// SPDX-License-Identifier: GPL-2.0
/* Depends on vt_toy, so that vt_toy has a holder. */
#include <linux/module.h>

int vt_toy_answer(void);

static int __init vt_toy_user_init(void)
{
	pr_info("vt_toy_user: %d\n", vt_toy_answer());
	return 0;
}
module_init(vt_toy_user_init);

static void __exit vt_toy_user_exit(void)
{
}
module_exit(vt_toy_user_exit);

MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("A module that holds vt_toy in tests");
