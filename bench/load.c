/*
 * load asks a DNS server over UDP, from one thread that never sleeps, and says
 * how it did. One core of it outruns one core of any server we know.
 *
 *   load PORT FILE SECONDS [RATE [CORE]]   measure: at RATE queries a second, or, without
 *                                          it or with 0, as fast as answers come back
 *   load PORT FILE SECONDS first           wait, at most SECONDS, for the first answer to
 *                                          the first query; exit 1 without one
 *
 * The server is on 127.0.0.1, or on the IPv4 address in the environment variable SERVER. FILE holds queries as DNS over TCP frames them: a
 * 16-bit length, the message. They are asked in order, round and round.
 *
 * Without RATE the loop is closed: IN_FLIGHT queries wait on each socket, and an
 * answer lets the next query go. The first ones go out one after another, so that
 * no burst meets a server that sleeps, and a query is soon given up, so that one
 * that was lost does not leave the server short of work. With RATE the loop is open: queries
 * fall due at even intervals whatever comes back, and latency counts from when a query
 * was due, so a server that stalls pays for all that it kept waiting.
 *
 * Prints one line of tab-separated numbers: answered, answers a second, lost %,
 * then microseconds: median, 99th, 99.9th percentile, longest, and the longest that
 * load itself was held up (a machine that stalls does so to both sides); then the
 * share of answers with records %, and wrong answers: to another question, neither
 * NOERROR nor NXDOMAIN, or truncated; and with CORE how idle that core was %.
 *
 * With RATE a second line tells the answer times apart from the pauses of load itself:
 * the share % of answers to queries that were due or in flight while load was held up
 * for HELD_UP_US or more; then, of the others alone, median, 99th and 99.9th percentile
 * in microseconds, and the share % answered within 50, 100, 200, 500, 1000 and 5000.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "idle.h"
#include "latency.h"

#ifndef IN_FLIGHT /* on each socket; at most 256: the low byte of a query's id is its slot */
#define IN_FLIGHT 16
#endif
#ifndef CLOSED_PATIENCE_MS /* how long a query holds its slot where no rate is given: 256 of them at 5,000 a second */
#define CLOSED_PATIENCE_MS 50
#endif
#ifndef HELD_UP_US /* a turn of load takes a few microseconds; one of this length was held up */
#define HELD_UP_US 50
#endif

enum {
	SOCKETS = 16,
	MESSAGE = 4096,
	PATIENCE_NS = 500 * 1000 * 1000, /* where a rate is given */
	RAMP_NS = 1000 * 1000,           /* between one more query in flight on each socket and the next */
};

struct query {
	uint8_t *message;
	uint16_t len;
	uint16_t question; /* length of the question section */
};

/* A slot is one query that may be in flight on a lane. */
struct slot {
	uint64_t due;
	uint32_t query;
	uint8_t turn; /* high byte of the id: tells an answer from one that came too late */
	bool open;
};

/* A lane is a socket and its slots. */
struct lane {
	int fd;
	unsigned nfree;
	uint8_t free[IN_FLIGHT];
	struct slot slot[IN_FLIGHT];
};

static struct lane lanes[SOCKETS];
static struct query *queries;
static size_t nqueries, next;

static uint64_t sent, answered, with_records, wrong;
static uint64_t patience = PATIENCE_NS;

static struct histogram all, undisturbed;      /* undisturbed: no part of the time was a pause of load */
static uint64_t seen, longest_pause, pause_end; /* when load last looked at the clock; the end of the last pause */

static void die(const char *what) {
	perror(what);
	exit(2);
}

static uint64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* look reads the clock and notes a pause since the last look. */
static uint64_t look(void) {
	uint64_t t = now(), held_up = t - seen;
	seen = t;
	if (held_up > longest_pause) longest_pause = held_up;
	if (held_up >= (uint64_t)HELD_UP_US * 1000) pause_end = t;
	return t;
}

/* question_len is the length of a query's question section; 0 if it does not hold one. */
static uint16_t question_len(const struct query *q) {
	unsigned at = 12;
	while (at < q->len && q->message[at]) at += 1u + q->message[at];
	at += 5; /* the root label, type, class */
	return at <= q->len && q->message[4] == 0 && q->message[5] == 1 ? (uint16_t)(at - 12) : 0;
}

static void read_queries(const char *path) {
	FILE *f = fopen(path, "rb");
	if (!f) die(path);
	uint8_t prefix[2];
	for (size_t room = 0; fread(prefix, 2, 1, f) == 1; nqueries++) {
		if (nqueries == room) {
			room = room ? 2 * room : 1024;
			queries = realloc(queries, room * sizeof *queries);
			if (!queries) die("queries");
		}
		struct query *q = &queries[nqueries];
		q->len = (uint16_t)(prefix[0] << 8 | prefix[1]);
		q->message = malloc(q->len);
		if (!q->message || q->len < 12 || fread(q->message, q->len, 1, f) != 1) {
			fprintf(stderr, "load: %s: query %zu is cut short\n", path, nqueries + 1);
			exit(2);
		}
		q->question = question_len(q);
		if (!q->question) {
			fprintf(stderr, "load: %s: query %zu asks not one question\n", path, nqueries + 1);
			exit(2);
		}
	}
	fclose(f);
	if (!nqueries) {
		fprintf(stderr, "load: %s holds no query\n", path);
		exit(2);
	}
}

static int open_socket(uint16_t port) {
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	const char *other = getenv("SERVER");
	if (other && !inet_aton(other, &to.sin_addr)) die("SERVER");
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 4 << 20;
	if (fd < 0) die("socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	if (connect(fd, (struct sockaddr *)&to, sizeof to)) die("connect");
	return fd;
}

static void open_lanes(uint16_t port) {
	for (struct lane *l = lanes; l < lanes + SOCKETS; l++) {
		l->fd = open_socket(port);
		while (l->nfree < IN_FLIGHT) {
			l->free[l->nfree] = (uint8_t)l->nfree;
			l->nfree++;
		}
	}
}

/* right is whether m answers q: the same question, NOERROR or NXDOMAIN, all of it. */
static bool right(const struct query *q, const uint8_t *m, size_t len) {
	unsigned rcode = m[3] & 15;
	bool response = m[2] & 0x80, truncated = m[2] & 2;
	return response && !truncated && (rcode == 0 || rcode == 3) && m[4] == 0 && m[5] == 1 &&
	       len >= 12u + q->question && !memcmp(m + 12, q->message + 12, q->question);
}

/* settle takes one answer: frees its slot and counts it. */
static void settle(struct lane *l, const uint8_t *m, unsigned len, uint64_t t) {
	if (len < 12 || m[1] >= IN_FLIGHT) return;
	struct slot *s = &l->slot[m[1]];
	if (!s->open || s->turn != m[0]) return; /* given up already */
	s->open = false;
	l->free[l->nfree++] = m[1];
	answered++;
	uint64_t latency = t > s->due ? t - s->due : 0;
	count_latency(&all, latency);
	if (s->due >= pause_end) count_latency(&undisturbed, latency);
	if (!right(&queries[s->query], m, len)) wrong++;
	if (m[6] | m[7]) with_records++;
}

static void receive(struct lane *l) {
	static uint8_t buffer[IN_FLIGHT][MESSAGE];
	static struct iovec io[IN_FLIGHT];
	static struct mmsghdr in[IN_FLIGHT];
	for (int i = 0; i < IN_FLIGHT; i++) {
		io[i] = (struct iovec){buffer[i], MESSAGE};
		in[i].msg_hdr.msg_iov = &io[i];
		in[i].msg_hdr.msg_iovlen = 1;
	}
	int n = recvmmsg(l->fd, in, IN_FLIGHT, MSG_DONTWAIT, NULL);
	uint64_t t = n > 0 ? look() : 0;
	for (int i = 0; i < n; i++) settle(l, buffer[i], in[i].msg_len, t);
}

/* ask sends n queries, the first due at `due` and the others `step` after one
 * another, and returns how many the kernel took. */
static unsigned ask(struct lane *l, unsigned n, double due, double step) {
	static struct iovec io[IN_FLIGHT];
	static struct mmsghdr out[IN_FLIGHT];
	for (unsigned i = 0; i < n; i++) {
		uint8_t number = l->free[l->nfree - 1 - i];
		struct query *q = &queries[(next + i) % nqueries];
		q->message[0] = ++l->slot[number].turn;
		q->message[1] = number;
		io[i] = (struct iovec){q->message, q->len};
		out[i].msg_hdr.msg_iov = &io[i];
		out[i].msg_hdr.msg_iovlen = 1;
	}
	int took = sendmmsg(l->fd, out, n, 0);
	if (took < 0) {
		if (errno != EAGAIN && errno != ENOBUFS && errno != ECONNREFUSED) die("sendmmsg");
		return 0;
	}
	for (int i = 0; i < took; i++) {
		struct slot *s = &l->slot[l->free[--l->nfree]];
		s->open = true;
		s->due = (uint64_t)(due + i * step);
		s->query = (uint32_t)((next + (size_t)i) % nqueries);
	}
	next = (next + (size_t)took) % nqueries;
	sent += (uint64_t)took;
	return (unsigned)took;
}

/* give_up frees the slots of queries that were due longer than `patience` ago. */
static void give_up(struct lane *l, uint64_t t) {
	for (int i = 0; i < IN_FLIGHT; i++) {
		struct slot *s = &l->slot[i];
		if (!s->open || t < s->due + patience) continue;
		s->open = false;
		l->free[l->nfree++] = (uint8_t)i;
	}
}

static bool anything_in_flight(void) {
	for (int i = 0; i < SOCKETS; i++)
		if (lanes[i].nfree < IN_FLIGHT) return true;
	return false;
}

/* room is how many more queries a lane may have in flight: one at the start, more by and by. */
static unsigned room(const struct lane *l, uint64_t since_start) {
	uint64_t most = 1 + since_start / RAMP_NS, open = IN_FLIGHT - l->nfree;
	if (most >= IN_FLIGHT) return l->nfree;
	return most > open ? (unsigned)(most - open) : 0;
}

/* owed is how many queries a lane may send now: what is due, or all it has room for. */
static unsigned owed(const struct lane *l, uint64_t t, uint64_t start, double step) {
	if (step == 0) return room(l, t - start);
	double due = (double)(t - start) / step + 1 - (double)sent; /* the first is due at start */
	if (due < 1) return 0;
	return due < l->nfree ? (unsigned)due : l->nfree;
}

/* report prints the line but for its end; asked counts the queries that fell due. */
static void report(double asked, double rate, uint64_t pause) {
	double n = answered ? (double)answered : 1, lost = asked > (double)answered ? asked - (double)answered : 0;
	printf("%lu\t%.0f\t%.4f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%lu", answered, rate, asked > 0 ? 100 * lost / asked : 0,
	       quantile_us(&all, .5), quantile_us(&all, .99), quantile_us(&all, .999), (double)all.longest / 1e3, (double)pause / 1e3,
	       100 * (double)with_records / n, wrong);
}

/* report_undisturbed prints the second line. */
static void report_undisturbed(void) {
	const uint64_t limits_us[] = {50, 100, 200, 500, 1000, 5000};
	const struct histogram *h = &undisturbed;
	printf("%.2f\t%.1f\t%.1f\t%.1f", answered ? 100 * (double)(all.counted - h->counted) / (double)all.counted : 0,
	       quantile_us(h, .5), quantile_us(h, .99), quantile_us(h, .999));
	for (size_t i = 0; i < sizeof limits_us / sizeof *limits_us; i++) printf("\t%.3f", within_percent(h, limits_us[i] * 1000));
	putchar('\n');
}

static void measure(double seconds, double rate, int core) {
	double step = rate > 0 ? 1e9 / rate : 0;
	if (step == 0) patience = (uint64_t)CLOSED_PATIENCE_MS * 1000 * 1000;
	struct core_time before_all = read_core(core);
	uint64_t start = now(), end = start + (uint64_t)(seconds * 1e9), t = start;
	seen = start;
	for (uint64_t turn = 0; t < end; turn++) {
		for (struct lane *l = lanes; l < lanes + SOCKETS; l++) {
			if (l->nfree < IN_FLIGHT) receive(l);
			t = look();
			unsigned n = owed(l, t, start, step);
			if (n) ask(l, n, step > 0 ? (double)start + (double)sent * step : (double)t, step);
			if (turn % 256 == 0) give_up(l, t);
		}
	}
	double idle = idle_percent(before_all, read_core(core));
	double asked = step > 0 ? seconds * rate : (double)sent; /* what never found a slot was lost too */
	uint64_t in_time = answered, pause = longest_pause;
	for (uint64_t limit = end + patience; anything_in_flight() && now() < limit;)
		for (struct lane *l = lanes; l < lanes + SOCKETS; l++) receive(l);
	report(asked, (double)in_time / seconds, pause);
	if (core >= 0) printf("\t%.1f", idle);
	putchar('\n');
	if (step > 0) report_undisturbed();
}

/* first_answer asks every 2 ms until an answer with a record comes. */
static bool first_answer(uint16_t port, double seconds) {
	uint8_t m[MESSAGE];
	struct timespec pause = {.tv_nsec = 2000000};
	int fd = open_socket(port);
	for (uint64_t end = now() + (uint64_t)(seconds * 1e9); now() < end; nanosleep(&pause, NULL)) {
		for (ssize_t n; (n = recv(fd, m, sizeof m, MSG_DONTWAIT)) > 0;)
			if (n >= 12 && right(&queries[0], m, (size_t)n) && (m[6] | m[7])) return true;
		send(fd, queries[0].message, queries[0].len, MSG_DONTWAIT); /* refused until the server is there */
	}
	return false;
}

int main(int argc, char **argv) {
	long port = argc > 1 ? strtol(argv[1], NULL, 10) : 0;
	double seconds = argc > 3 ? strtod(argv[3], NULL) : 0;
	if (argc < 4 || argc > 6 || port < 1 || port > 65535 || !(seconds > 0 && seconds <= 600)) {
		fprintf(stderr, "usage: load PORT FILE SECONDS [RATE [CORE]|first]   (at most 600 seconds)\n");
		return 2;
	}
	read_queries(argv[2]);
	if (argc == 5 && !strcmp(argv[4], "first")) return first_answer((uint16_t)port, seconds) ? 0 : 1;
	open_lanes((uint16_t)port);
	measure(seconds, argc > 4 ? strtod(argv[4], NULL) : 0, argc > 5 ? atoi(argv[5]) : -1);
	return 0;
}
