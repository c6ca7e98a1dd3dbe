/* Preloaded into Python: threads of libraries are late, as under load, where they need the interpreter's lock.
 *
 * A thread that is not the main one waits after it has told others that something is done, so that it is the last to
 * let go of what was shared, and again before it asks for the lock, so that the program may be ending by then.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <sys/syscall.h>
#include <unistd.h>

static __thread int has_told;

static int is_main(void) { return getpid() == syscall(SYS_gettid); }

int pthread_cond_broadcast(void *condition)
{
    static int (*real)(void *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_broadcast");
    has_told = 1;
    return real(condition);
}

int pthread_mutex_unlock(void *mutex)
{
    static int (*real)(void *);
    if (!real) real = dlsym(RTLD_NEXT, "pthread_mutex_unlock");
    int result = real(mutex);
    if (has_told && !is_main()) {
        has_told = 0;
        usleep(20000);
    }
    return result;
}

int PyGILState_Ensure(void)
{
    static int (*real)(void);
    if (!real) real = dlsym(RTLD_NEXT, "PyGILState_Ensure");
    if (!is_main()) usleep(200000);
    return real();
}
