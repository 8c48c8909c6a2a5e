package probe

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strings"

	"github.com/miekg/dns"
)

// maxDatagram is the largest answer over UDP, in bytes. The question has no EDNS, so 512 would do (RFC 1035 4.2.1).
const maxDatagram = 4096

// probeDNS passes if the peer answers the check's question with the wanted response code and record. It asks over UDP, and
// again over TCP if the answer is truncated (RFC 7766 5).
func probeDNS(ctx context.Context, t *attempt) (string, error) {
	answer, err := t.query(ctx, "udp")
	if err == nil && answer.Truncated {
		answer, err = t.query(ctx, "tcp")
	}
	if err != nil {
		return "", err
	}
	return t.judgeAnswer(answer)
}

// query asks the check's question once.
func (t *attempt) query(ctx context.Context, network string) (*dns.Msg, error) {
	conn, hangUp, err := t.connect(ctx, network, t.check.Port)
	if err != nil {
		return nil, err
	}
	defer hangUp()
	question := new(dns.Msg)
	question.SetQuestion(string(t.check.Query), t.check.QueryType)
	packed, err := question.Pack()
	if err != nil {
		return nil, fmt.Errorf("packing the question: %w", err)
	}
	t.doing = "sending the question over " + network
	read := func() ([]byte, error) { return readFramed(conn) }
	if network == "tcp" {
		packed = append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
	} else {
		datagram := make([]byte, maxDatagram)
		read = func() ([]byte, error) {
			n, err := conn.Read(datagram)
			return datagram[:n], err
		}
	}
	if _, err := conn.Write(packed); err != nil {
		return nil, err
	}
	return t.readAnswer(question, network, read)
}

// readFramed reads a message with a length prefix (RFC 1035 4.2.2).
func readFramed(conn net.Conn) ([]byte, error) {
	var length [2]byte
	if _, err := io.ReadFull(conn, length[:]); err != nil {
		return nil, err
	}
	message := make([]byte, binary.BigEndian.Uint16(length[:]))
	_, err := io.ReadFull(conn, message)
	return message, err
}

// readAnswer reads messages until one answers the question. It skips all others, so that the true answer can still come: a
// late answer to an earlier question, a forged one, or one from a broken peer.
func (t *attempt) readAnswer(question *dns.Msg, network string, read func() ([]byte, error)) (*dns.Msg, error) {
	t.doing = "waiting for the answer over " + network
	for strays := 1; ; strays++ {
		message, err := read()
		if err != nil {
			return nil, err
		}
		if answer := answerTo(question, message); answer != nil {
			return answer, nil
		}
		t.doing = fmt.Sprintf("waiting for the answer over %s, after %d unrelated ones", network, strays)
	}
}

// answerTo returns message parsed if it answers the question, else nil.
func answerTo(question *dns.Msg, message []byte) *dns.Msg {
	if len(message) < 12 || binary.BigEndian.Uint16(message) != question.Id {
		return nil
	}
	answer := new(dns.Msg)
	err := answer.Unpack(message)
	switch {
	case err != nil && !answer.Truncated: // a truncated message may be incomplete
		return nil
	case !answer.Response, answer.Opcode != dns.OpcodeQuery:
		return nil
	case len(answer.Question) == 0: // some servers send no question when they refuse, or cannot parse it
		if answer.Rcode == dns.RcodeSuccess {
			return nil
		}
	case len(answer.Question) > 1, !sameQuestion(answer.Question[0], question.Question[0]):
		return nil
	}
	return answer
}

func sameQuestion(a, b dns.Question) bool {
	return strings.EqualFold(a.Name, b.Name) && a.Qtype == b.Qtype && a.Qclass == b.Qclass
}

// judgeAnswer checks the response code, then the records.
func (t *attempt) judgeAnswer(answer *dns.Msg) (string, error) {
	if answer.Rcode != t.check.Rcode {
		return "", fmt.Errorf("response code %s, want %s", rcodeName(answer.Rcode), rcodeName(t.check.Rcode))
	}
	if t.check.Answer == nil {
		return fmt.Sprintf("response code %s, %s", rcodeName(answer.Rcode), records(len(answer.Answer))), nil
	}
	for _, record := range answer.Answer {
		if t.check.Answer.MatchString(recordData(record)) {
			return "answer " + excerpt(recordData(record)), nil
		}
	}
	if len(answer.Answer) == 0 {
		return "", fmt.Errorf("no record in the answer, want one that matches %q", t.check.Answer)
	}
	return "", fmt.Errorf("none of %d records matches %q; the first is %s",
		len(answer.Answer), t.check.Answer, excerpt(recordData(answer.Answer[0])))
}

// records formats a number of records.
func records(n int) string {
	if n == 1 {
		return "1 record"
	}
	return fmt.Sprintf("%d records", n)
}

// recordData formats a record's data as `dig +short` does.
func recordData(record dns.RR) string {
	return strings.TrimPrefix(record.String(), record.Header().String())
}

func rcodeName(rcode int) string {
	if name, known := dns.RcodeToString[rcode]; known {
		return name
	}
	return fmt.Sprintf("%d", rcode)
}
