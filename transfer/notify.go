package transfer

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/transfer/tsig"
)

const (
	notifyDelay   = time.Second     // changes within it are notified together
	notifyTimeout = 3 * time.Second // of one exchange
	notifyTries   = 6               // of a server that does not answer
	firstBackoff  = time.Second     // before the second try; it doubles
)

// Notice is a zone of which a secondary is to know the serial.
type Notice struct {
	Zone   dnsname.Name
	Serial uint32
	To     netip.AddrPort
	Source netip.Addr // of the message; invalid: the choice of the system
	Key    *tsig.Key  // signs the message; nil: none
}

// Notifier notifies secondaries of changed zones (RFC 1996). For each secondary there is one goroutine, while it has
// something to send. Its methods are safe for concurrent use.
type Notifier struct {
	log  *slog.Logger
	dial func(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error)
	ctx  context.Context
	stop context.CancelFunc

	mu      sync.Mutex // guards the fields below
	known   map[subject]uint32
	pending map[netip.AddrPort]map[dnsname.Name]Notice
	running sync.WaitGroup
}

// subject is a zone at a secondary.
type subject struct {
	zone dnsname.Name
	to   netip.AddrPort
}

// NewNotifier returns a notifier. Close ends it.
func NewNotifier(log *slog.Logger) *Notifier {
	n := &Notifier{log: log, known: map[subject]uint32{}, pending: map[netip.AddrPort]map[dnsname.Name]Notice{}}
	n.dial = dialFrom
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// dialFrom opens a UDP socket to a secondary, from an address if it is valid.
func dialFrom(ctx context.Context, from netip.Addr, to netip.AddrPort) (net.Conn, error) {
	dialer := new(net.Dialer)
	if from.IsValid() {
		dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	return dialer.DialContext(ctx, "udp", to.String())
}

// Use notifies of the serials that are new: all of them at the first call.
func (n *Notifier) Use(notices []Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	known := make(map[subject]uint32, len(notices))
	for _, notice := range notices {
		at := subject{notice.Zone, notice.To}
		before, ok := n.known[at]
		if known[at] = notice.Serial; !ok || before != notice.Serial {
			n.addLocked(notice)
		}
	}
	n.known = known
}

// Update notifies of zones, of which one has changed, and leaves the others as they are. All secondaries of the zones are known.
func (n *Notifier) Update(notices []Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, notice := range notices {
		at := subject{notice.Zone, notice.To}
		before, ok := n.known[at]
		if n.known[at] = notice.Serial; !ok || before != notice.Serial {
			n.addLocked(notice)
		}
	}
}

// Resend sends notices again, also of serials that secondaries have confirmed.
func (n *Notifier) Resend(notices []Notice) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, notice := range notices {
		n.addLocked(notice)
	}
}

// addLocked adds a notice, and starts the goroutine of its secondary unless it runs.
func (n *Notifier) addLocked(notice Notice) {
	if n.ctx.Err() != nil {
		return
	}
	zones, running := n.pending[notice.To]
	if !running {
		zones = map[dnsname.Name]Notice{}
		n.pending[notice.To] = zones
		n.running.Go(func() { n.run(notice.To) })
	}
	zones[notice.Zone] = notice
}

// run notifies a secondary until it knows everything, or does not answer. While it does not, a try costs one message,
// however many zones it has.
func (n *Notifier) run(to netip.AddrPort) {
	for failures, wait := 0, notifyDelay; ; {
		timer := time.NewTimer(wait)
		select {
		case <-n.ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		err := n.sendPending(to)
		if err == nil {
			if n.finished(to) {
				return
			}
			failures, wait = 0, notifyDelay
			continue
		}
		if failures++; failures == notifyTries {
			n.giveUp(to, err)
			return
		}
		wait = firstBackoff << (failures - 1)
	}
}

// sendPending sends the notices of a secondary, and forgets each that is confirmed. It stops if there is no answer. An answer
// with an error is for one zone, such as one that the secondary does not know yet: the others are sent, and this one again.
func (n *Notifier) sendPending(to netip.AddrPort) (refused error) {
	for _, notice := range n.pendingOf(to) {
		if n.ctx.Err() != nil {
			return nil
		}
		if err := n.send(notice); err != nil {
			err = fmt.Errorf("zone %s: %w", notice.Zone, err)
			if !errors.As(err, new(errorAnswer)) {
				return err
			}
			refused = err
			continue
		}
		n.log.Debug("secondary notified", "zone", notice.Zone, "address", to, "serial", notice.Serial)
		n.mu.Lock()
		if n.pending[to][notice.Zone].Serial == notice.Serial {
			delete(n.pending[to], notice.Zone)
		}
		n.mu.Unlock()
	}
	return refused
}

// pendingOf returns the notices of a secondary that are not confirmed.
func (n *Notifier) pendingOf(to netip.AddrPort) []Notice {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Collect(maps.Values(n.pending[to]))
}

// finished ends the goroutine of a secondary that has nothing left.
func (n *Notifier) finished(to netip.AddrPort) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.pending[to]) > 0 {
		return false
	}
	delete(n.pending, to)
	return true
}

// giveUp drops the notices of a secondary: it still asks for the serial after the refresh time of each zone.
func (n *Notifier) giveUp(to netip.AddrPort, err error) {
	n.mu.Lock()
	left := len(n.pending[to])
	delete(n.pending, to)
	n.mu.Unlock()
	n.log.Error("secondary not notified; it learns of changes after the refresh time of the zone", "address", to, "zones", left, "tries", notifyTries, "error", err,
		"hint", "check transfer.notify, and that the secondary accepts notifications from this server")
}

// send sends one message and waits for its answer.
func (n *Notifier) send(notice Notice) error {
	ctx, cancel := context.WithTimeout(n.ctx, notifyTimeout)
	defer cancel()
	conn, err := n.dial(ctx, notice.Source, notice.To)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	packet, signed, err := notice.message(time.Now())
	if err != nil {
		return err
	}
	if _, err := conn.Write(packet); err != nil {
		return err
	}
	buf := make([]byte, maxMessage)
	for {
		size, err := conn.Read(buf)
		switch {
		case ctx.Err() != nil:
			return fmt.Errorf("no answer within %s", notifyTimeout)
		case err != nil:
			return err
		}
		if answers(buf[:size], packet) {
			return confirmed(buf[:size], signed)
		}
	}
}

// message returns the message of a notice with the SOA serial (RFC 1996 3.7), and what verifies its answer.
func (notice Notice) message(now time.Time) ([]byte, *tsig.Request, error) {
	msg := new(dns.Msg)
	msg.SetNotify(string(notice.Zone))
	msg.Answer = []dns.RR{&dns.SOA{
		Hdr: dns.RR_Header{Name: string(notice.Zone), Rrtype: dns.TypeSOA, Class: dns.ClassINET}, Ns: ".", Mbox: ".", Serial: notice.Serial,
	}}
	packet, err := msg.Pack()
	if err != nil || notice.Key == nil {
		return packet, nil, err
	}
	packet, signed := notice.Key.Sign(packet, now)
	return packet, signed, nil
}

// answers reports whether a message is the answer to a request: one that is not may be forged.
func answers(message, request []byte) bool {
	return len(message) >= headerSize && message[0] == request[0] && message[1] == request[1] &&
		message[2]&flagQR != 0 && message[2]>>3&0xf == dns.OpcodeNotify
}

// confirmed checks the answer to a notification.
func confirmed(answer []byte, signed *tsig.Request) error {
	if signed != nil {
		if err := signed.Verify(answer, time.Now()); err != nil {
			return err
		}
	}
	if rcode := int(binary.BigEndian.Uint16(answer[2:]) & 0xf); rcode != dns.RcodeSuccess {
		return errorAnswer(rcode)
	}
	return nil
}

// errorAnswer is the error of an answer with this rcode.
type errorAnswer int

func (r errorAnswer) Error() string { return "it answers " + dns.RcodeToString[int(r)] }

// Close ends the notifier and waits for its goroutines. nil is a no-op.
func (n *Notifier) Close() {
	if n == nil {
		return
	}
	n.mu.Lock()
	n.stop()
	n.mu.Unlock()
	n.running.Wait()
}
