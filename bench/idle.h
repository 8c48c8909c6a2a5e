/*
 * idle.h tells how long a core had nothing to do, as /proc/stat counts it. A
 * server is saturated when its core was never idle, whoever else ran there.
 */
#include <stdint.h>
#include <stdio.h>

/* core_time is what a core has spent, in ticks: idle, and in all. */
struct core_time {
	uint64_t idle, all;
};

/* read_core leaves both at 0 where there is no such core, or no /proc. */
static struct core_time read_core(int core) {
	struct core_time t = {0};
	unsigned long user, nice, system, idle, iowait, irq, softirq, steal;
	char line[512], pattern[96];
	snprintf(pattern, sizeof pattern, "cpu%d %%lu %%lu %%lu %%lu %%lu %%lu %%lu %%lu", core);
	FILE *f = fopen("/proc/stat", "r");
	while (f && fgets(line, sizeof line, f)) {
		if (sscanf(line, pattern, &user, &nice, &system, &idle, &iowait, &irq, &softirq, &steal) != 8) continue;
		t.idle = idle + iowait;
		t.all = t.idle + user + nice + system + irq + softirq + steal;
	}
	if (f) fclose(f);
	return t;
}

static double idle_percent(struct core_time from, struct core_time to) {
	return to.all > from.all ? 100 * (double)(to.idle - from.idle) / (double)(to.all - from.all) : 0;
}
