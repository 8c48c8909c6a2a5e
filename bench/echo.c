/*
 * udp-echo sends each packet back as an answer: what the kernel alone allows one
 * core. It takes and sends up to 64 packets with one system call, as Meridian
 * does. The answer claims one record, so that load takes it for a whole one.
 *
 *   udp-echo PORT
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { BATCH = 64, MESSAGE = 2048 };

int main(int argc, char **argv) {
	static uint8_t message[BATCH][MESSAGE];
	static struct sockaddr_in from[BATCH];
	static struct iovec io[BATCH];
	static struct mmsghdr packet[BATCH];
	int size = 4 << 20, fd = socket(AF_INET, SOCK_DGRAM, 0);
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	here.sin_port = htons((uint16_t)(argc == 2 ? atoi(argv[1]) : 0));
	if (fd < 0 || argc != 2 || bind(fd, (struct sockaddr *)&here, sizeof here)) {
		perror("usage: udp-echo PORT");
		return 2;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
	setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
	for (;;) {
		for (int i = 0; i < BATCH; i++) {
			io[i] = (struct iovec){message[i], MESSAGE};
			packet[i].msg_hdr = (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &io[i], .msg_iovlen = 1};
		}
		int n = recvmmsg(fd, packet, BATCH, MSG_WAITFORONE, NULL);
		for (int i = 0; i < n; i++) {
			io[i].iov_len = packet[i].msg_len;
			message[i][2] |= 0x80; /* QR */
			message[i][7] = 1;     /* ANCOUNT */
		}
		for (int done = 0; done < n;) {
			int took = sendmmsg(fd, packet + done, (unsigned)(n - done), 0);
			done += took > 0 ? took : 1;
		}
	}
}
