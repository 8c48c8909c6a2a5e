package server

import (
	"net/netip"
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

const (
	// maxTransfers is the number of transfers at a time: each holds a message and a processor.
	maxTransfers = 8
	// maxTransfersOfClient is the number of transfers to a client at a time.
	maxTransfersOfClient = maxTransfers / 2
	// transferWait is how long a transfer waits for others.
	transferWait = 5 * time.Second
	// transferGrace and transferPace are how long a transfer may take: the former, and the latter for each message of up to 16 KiB.
	transferGrace = time.Minute
	transferPace  = time.Second
)

// late reports whether a client takes a transfer too slowly, after a number of messages.
func late(begun, now time.Time, messages int) bool {
	return now.Sub(begun) > transferGrace+time.Duration(messages)*transferPace
}

// send sends a transfer.
func (c *stream) send(t *answer.Transfer) bool {
	sent := c.server.sendTransfer(t, c.source, c.write, c.touch)
	c.idle = time.Time{} // the next query has the whole time limit
	return sent
}

// sendTransfer sends a transfer to a client, message by message. Each write has the time limit of answers, so that a
// client which does not read holds it only so long, and one that reads slowly is late at some time. It calls wrote after each message.
func (s *Server) sendTransfer(t *answer.Transfer, client netip.Addr, write func(frame []byte) bool, wrote func()) bool {
	if !s.transfers.begin(client, transferWait) {
		s.Count(answer.TransfersFailed, 1)
		return write(t.Refusal(dns.RcodeServerFailure, nil))
	}
	defer s.transfers.end(client)
	begun, messages, octets, sent := time.Now(), 0, 0, true
	for frame := range t.Messages(nil) {
		if sent = frame != nil && !late(begun, time.Now(), messages) && write(frame); !sent {
			break
		}
		messages++
		octets += len(frame)
		wrote()
	}
	attributes := []any{"zone", t.Zone, "client", client, "type", t.Kind(), "serial", t.Serial(), "messages", messages, "bytes", octets, "took", time.Since(begun).Round(time.Millisecond)}
	if !sent {
		s.Count(answer.TransfersFailed, 1)
		s.options.Logger.Warn("zone transfer not completed: the client closed the connection or does not read", attributes...)
		return false
	}
	s.Count(answer.TransfersSent, 1)
	s.options.Logger.Info("zone transferred", attributes...)
	return true
}
