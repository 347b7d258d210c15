/*
 * Leaves a NUMA node's memory in pieces: fragment NODE MIB [locked]. Takes so much memory on the node, page by page, gives every other
 * page back, says "fragmented", and keeps the rest until it is killed. What it keeps can be moved by the kernel; locked, it can be moved
 * only while vm.compact_unevictable_allowed is 1.
 */
#define _GNU_SOURCE
#include <linux/mempolicy.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_DONTNEED_LOCKED
#define MADV_DONTNEED_LOCKED 24
#endif

int main(int count, char **words)
{
	if (count < 3)
		return 2;
	unsigned long node = 1UL << atoi(words[1]), page = 4096;
	unsigned long size = strtoul(words[2], NULL, 10) << 20;
	int locked = count > 3;

	if (syscall(SYS_set_mempolicy, MPOL_BIND, &node, 8 * sizeof(node))) {
		perror("set_mempolicy");
		return 1;
	}
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED || madvise(memory, size, MADV_NOHUGEPAGE)) {
		perror("mmap");
		return 1;
	}
	for (unsigned long at = 0; at < size; at += page)
		memory[at] = 1;
	if (locked && mlock(memory, size)) {
		perror("mlock");
		return 1;
	}
	for (unsigned long at = 0; at < size; at += 2 * page)
		if (madvise(memory + at, page, locked ? MADV_DONTNEED_LOCKED : MADV_DONTNEED)) {
			perror("madvise");
			return 1;
		}
	puts("fragmented");
	fflush(stdout);
	for (;;)
		pause();
}
