// SPDX-License-Identifier: GPL-2.0
/*
 * A module for tests of how kernel trouble is reported: it says which edition it is, and what is written to its
 * parameter `provoke` (warn, oops, hang, panic, say) happens for real.
 */
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#include <linux/delay.h>
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/string.h>

#define EDITION "first"
#define PAUSE_MS 200 /* time for whoever asked to be told that it begins */
#define HANG_S 8

static int provoke_oops(void *nothing)
{
	msleep(PAUSE_MS);
	WRITE_ONCE(*(int *)nothing, 1);
	return 0;
}

static int provoke_panic(void *nothing)
{
	msleep(PAUSE_MS);
	panic("vmtrial was told to");
}

static int provoke_hang(void *nothing)
{
	msleep(PAUSE_MS);
	set_current_state(TASK_UNINTERRUPTIBLE);
	schedule_timeout(HANG_S * HZ);
	module_put_and_kthread_exit(0);
}

static int begin(int (*work)(void *), const char *name)
{
	struct task_struct *task;

	if (!try_module_get(THIS_MODULE))
		return -ENODEV;
	task = kthread_run(work, NULL, "%s", name);
	if (IS_ERR(task)) {
		module_put(THIS_MODULE);
		return PTR_ERR(task);
	}
	return 0;
}

static int provoke(const char *what, const struct kernel_param *param)
{
	if (sysfs_streq(what, "warn"))
		return WARN(1, "vmtrial was told to warn\n"), 0;
	if (sysfs_streq(what, "oops"))
		return begin(provoke_oops, "vmtrial_oops");
	if (sysfs_streq(what, "hang"))
		return begin(provoke_hang, "vmtrial_hang");
	if (sysfs_streq(what, "panic"))
		return begin(provoke_panic, "vmtrial_panic");
	if (!sysfs_streq(what, "say"))
		return -EINVAL;
	pr_notice("the " EDITION " edition was asked\n");
	return 0;
}

static const struct kernel_param_ops provoke_ops = { .set = provoke };
module_param_cb(provoke, &provoke_ops, NULL, 0200);

static int __init vmtrial_init(void)
{
	pr_notice("the " EDITION " edition is here\n");
	return 0;
}

static void __exit vmtrial_exit(void)
{
	pr_notice("the " EDITION " edition is gone\n");
}

module_init(vmtrial_init);
module_exit(vmtrial_exit);
MODULE_DESCRIPTION("Provokes kernel trouble on request");
MODULE_VERSION(EDITION);
MODULE_LICENSE("GPL");
