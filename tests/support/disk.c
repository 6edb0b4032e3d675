/* A disk that can be told to misbehave, loaded in front of the C library of the program under test.
 *
 * WHIMBREL_DISK_CONTROL names a file whose first letter says what the disk does now:
 *   o  works
 *   s  a sync of a journal does not come back
 *   e  the next sync of a journal fails with EIO, once, as Linux reports it; the letter becomes x
 *   x  works; every sync of a journal is noted as one after the failure
 *   f  writes of regular files fail with ENOSPC
 * WHIMBREL_DISK_LOG names a file with a line for each sync of a journal: what happened, offset, path.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static char mode(void) {
    const char *path = getenv("WHIMBREL_DISK_CONTROL");
    char letter = 'o';
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return 'o';
    if (syscall(SYS_read, fd, &letter, 1) != 1) letter = 'o';
    close(fd);
    return letter;
}

static void set_mode(char letter) {
    int fd = open(getenv("WHIMBREL_DISK_CONTROL"), O_WRONLY | O_CLOEXEC);
    if (fd < 0) return;
    syscall(SYS_write, fd, &letter, 1);
    close(fd);
}

static void note(const char *what, long long offset, const char *path) {
    char line[4300];
    const char *log = getenv("WHIMBREL_DISK_LOG");
    int fd = log ? open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600) : -1;
    if (fd < 0) return;
    int length = snprintf(line, sizeof line, "%s %lld %s\n", what, offset, path);
    syscall(SYS_write, fd, line, length);
    close(fd);
}

/* The path of an open journal; 0 for any other file. */
static int journal(int fd, char *path, size_t size) {
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, size - 1);
    if (length < 4) return 0;
    path[length] = 0;
    return strcmp(path + length - 4, ".jnl") == 0;
}

static int sync_with(int (*real)(int), int fd) {
    char path[4096];
    if (!journal(fd, path, sizeof path)) return real(fd);
    long long offset = lseek(fd, 0, SEEK_CUR);
    char now = mode();
    if (now == 's') {
        note("stalled", offset, path);
        while (mode() == 's') usleep(1000);
    } else if (now == 'e') {
        set_mode('x');
        note("failed", offset, path);
        errno = EIO;
        return -1;
    } else if (now == 'x') {
        note("after", offset, path);
    }
    int result = real(fd);
    if (result == 0) note("synced", offset, path);
    return result;
}

int fsync(int fd) { return sync_with((int (*)(int))dlsym(RTLD_NEXT, "fsync"), fd); }

int fdatasync(int fd) { return sync_with((int (*)(int))dlsym(RTLD_NEXT, "fdatasync"), fd); }

ssize_t write(int fd, const void *bytes, size_t count) {
    struct stat file;
    if (fd > 2 && fstat(fd, &file) == 0 && S_ISREG(file.st_mode) && mode() == 'f') {
        errno = ENOSPC;
        return -1;
    }
    return syscall(SYS_write, fd, bytes, count);
}
