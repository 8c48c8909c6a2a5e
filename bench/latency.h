/*
 * latency.h keeps the latencies of load in a histogram: 64 steps for each power
 * of two of nanoseconds, 1.6 % apart.
 */
#include <stdint.h>

enum { STEPS = 64, BUCKETS = 48 * STEPS };

static uint64_t histogram[BUCKETS], counted, longest;

static void count_latency(uint64_t ns) {
	unsigned bucket = (unsigned)ns;
	if (ns >= STEPS) {
		unsigned power = 63 - (unsigned)__builtin_clzll(ns);
		bucket = (power - 5) * STEPS + (unsigned)(ns >> (power - 6)) % STEPS;
	}
	histogram[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	counted++;
	if (ns > longest) longest = ns;
}

/* quantile_us is the lower edge of the bucket that holds the quantile. */
static double quantile_us(double q) {
	uint64_t rank = (uint64_t)(q * (double)counted), seen = 0;
	for (unsigned b = 0; b < BUCKETS; b++) {
		seen += histogram[b];
		if (seen > rank) return b < STEPS ? b / 1e3 : (double)((uint64_t)(STEPS + b % STEPS) << (b / STEPS - 1)) / 1e3;
	}
	return 0;
}
