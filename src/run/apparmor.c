/*
 * AppArmor: the profile that RuntimeDefault means (apparmor.profile), given to the
 * kernel in its own form unless it has one of that name: an administrator's goes
 * before ours. It stays loaded, as profiles do.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/log.h"
#include "base/path.h"
#include "run/internal.h"

#define APPARMOR_DIR "/sys/kernel/security/apparmor/"

bool run_apparmor_has(const char *name)
{
	_cleanup_buf_ struct buf b = BUF_INIT;
	_cleanup_err_ struct err e = ERR_INIT;
	size_t n = strlen(name);
	struct str rest;

	if (path_read(APPARMOR_DIR "profiles", 4 << 20, &b, &e) < 0)
		return false;
	for (rest = buf_str(&b); rest.p;) {
		struct str line = str_cut(&rest, '\n');

		/* "name (mode)" */
		if (line.n > n + 1 && str_eqc(str_sub(line, 0, n), name) && line.p[n] == ' ' && line.p[n + 1] == '(')
			return true;
	}
	return false;
}

void apparmor_load(void)
{
	_cleanup_close_ int fd = -1;

	if (run_apparmor_has(RUN_APPARMOR_DEFAULT))
		return;
	fd = open(APPARMOR_DIR ".load", O_WRONLY | O_CLOEXEC);
	/* In one piece: the kernel takes no less. */
	if (fd < 0 || write(fd, apparmor_policy, apparmor_policy_len) != (ssize_t)apparmor_policy_len)
		log_warn("the AppArmor profile for containers is not loaded; they run without one",
			 LS("profile", RUN_APPARMOR_DEFAULT), LS("error", strerror(errno)));
}
