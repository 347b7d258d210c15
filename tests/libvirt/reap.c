/* reap COMMAND…: runs it, ends as it ends, and buries what it leaves behind.
 *
 * libvirt starts QEMU as a daemon, kills it, and waits until its pid is gone. In a container the first process is often
 * one that waits for nobody (cargo, tail), so that the pid stays forever. Here the orphans come to this process. */
#include <errno.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

int main(int argc, char **argv)
{
    pid_t child, gone;
    int status;

    if (argc < 2 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 || (child = fork()) < 0) {
        perror("reap");
        return 125;
    }
    if (child == 0) {
        execvp(argv[1], argv + 1);
        perror(argv[1]);
        _exit(127);
    }
    while ((gone = wait(&status)) != child)
        if (gone < 0 && errno != EINTR)
            return 125;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
