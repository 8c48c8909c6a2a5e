package server

import (
	"time"

	"github.com/miekg/dns"

	"meridian/server/answer"
)

const (
	// maxTransfers is the number of transfers at a time: each holds a message and a processor.
	maxTransfers = 8
	// transferWait is how long a transfer waits for others.
	transferWait = 5 * time.Second
)

// send sends a transfer, message by message. Each write has the time limit of answers, so that a client which does not
// read holds it only so long.
func (c *stream) send(t *answer.Transfer) bool {
	if !c.server.beginTransfer() {
		c.server.Count(answer.TransfersFailed, 1)
		return c.write(t.Refusal(dns.RcodeServerFailure, nil))
	}
	defer func() { <-c.server.transfers }()
	begun, messages, octets, sent := time.Now(), 0, 0, true
	for frame := range t.Messages(nil) {
		if sent = frame != nil && c.write(frame); !sent {
			break
		}
		messages++
		octets += len(frame)
		c.touch()
	}
	c.idle = time.Time{} // the next query has the whole time limit
	attributes := []any{"zone", t.Zone, "client", c.source, "type", t.Kind(), "serial", t.Serial(), "messages", messages, "bytes", octets, "took", time.Since(begun).Round(time.Millisecond)}
	if !sent {
		c.server.Count(answer.TransfersFailed, 1)
		c.server.options.Logger.Warn("zone transfer not completed: the client closed the connection or does not read", attributes...)
		return false
	}
	c.server.Count(answer.TransfersSent, 1)
	c.server.options.Logger.Info("zone transferred", attributes...)
	return true
}

// beginTransfer waits until there are fewer than maxTransfers, for a bounded time.
func (s *Server) beginTransfer() bool {
	select {
	case s.transfers <- struct{}{}:
		return true
	default:
	}
	timer := time.NewTimer(transferWait)
	defer timer.Stop()
	select {
	case s.transfers <- struct{}{}:
		return true
	case <-timer.C:
		return false
	}
}
