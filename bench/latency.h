/*
 * latency.h keeps latencies in histograms: 64 steps for each power of two of
 * nanoseconds, 1.6 % apart.
 */
#include <stdint.h>

enum { STEPS = 64, BUCKETS = 48 * STEPS };

struct histogram {
	uint64_t buckets[BUCKETS], counted, longest;
};

static void count_latency(struct histogram *h, uint64_t ns) {
	unsigned bucket = (unsigned)ns;
	if (ns >= STEPS) {
		unsigned power = 63 - (unsigned)__builtin_clzll(ns);
		bucket = (power - 5) * STEPS + (unsigned)(ns >> (power - 6)) % STEPS;
	}
	h->buckets[bucket < BUCKETS ? bucket : BUCKETS - 1]++;
	h->counted++;
	if (ns > h->longest) h->longest = ns;
}

/* edge_ns is the lower edge of a bucket. */
static uint64_t edge_ns(unsigned b) { return b < STEPS ? b : (uint64_t)(STEPS + b % STEPS) << (b / STEPS - 1); }

/* quantile_us is the lower edge of the bucket that holds the quantile. */
static double quantile_us(const struct histogram *h, double q) {
	uint64_t rank = (uint64_t)(q * (double)h->counted), seen = 0;
	for (unsigned b = 0; b < BUCKETS; b++) {
		seen += h->buckets[b];
		if (seen > rank) return (double)edge_ns(b) / 1e3;
	}
	return 0;
}

/* within_percent is the share of latencies in buckets that begin below a limit. */
static double within_percent(const struct histogram *h, uint64_t limit_ns) {
	uint64_t below = 0;
	for (unsigned b = 0; b < BUCKETS && edge_ns(b) < limit_ns; b++) below += h->buckets[b];
	return h->counted ? 100 * (double)below / (double)h->counted : 0;
}
