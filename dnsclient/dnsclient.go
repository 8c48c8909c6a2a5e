// Package dnsclient sends a DNS question over a connection and reads the answer to it.
package dnsclient

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"

	"github.com/miekg/dns"
)

// maxDatagram is the largest accepted answer over UDP, in octets: more than any question requests.
const maxDatagram = 4096

// Send writes a question to conn, over udp or tcp.
func Send(conn net.Conn, network string, question *dns.Msg) error {
	packed, err := question.Pack()
	if err != nil {
		return fmt.Errorf("packing the question: %w", err)
	}
	if network == "tcp" {
		packed = append(binary.BigEndian.AppendUint16(nil, uint16(len(packed))), packed...)
	}
	_, err = conn.Write(packed)
	return err
}

// Await reads messages from conn until one answers the question. It calls stray for each other message, with the number
// of them so far: a late answer to an earlier question, a forged one, or one from a broken peer. If stray returns nil,
// the true answer can still come; an error ends the exchange.
func Await(conn net.Conn, network string, question *dns.Msg, stray func(n int) error) (*dns.Msg, error) {
	read := readFramed
	if network != "tcp" {
		read = readDatagram
	}
	for strays := 1; ; strays++ {
		message, err := read(conn)
		if err != nil {
			return nil, err
		}
		if answer := AnswerTo(question, message); answer != nil {
			return answer, nil
		}
		if err := stray(strays); err != nil {
			return nil, err
		}
	}
}

func readDatagram(conn net.Conn) ([]byte, error) {
	datagram := make([]byte, maxDatagram)
	n, err := conn.Read(datagram)
	return datagram[:n], err
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

// AnswerTo returns message parsed if it answers the question, else nil: ID, question and type must be equal (RFC 5452
// 9.1).
func AnswerTo(question *dns.Msg, message []byte) *dns.Msg {
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
		if answer.Rcode == dns.RcodeSuccess || answer.Rcode == dns.RcodeNameError {
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

// RcodeName returns the name of a response code, e.g. NXDOMAIN, or its number.
func RcodeName(rcode int) string {
	if name, known := dns.RcodeToString[rcode]; known {
		return name
	}
	return strconv.Itoa(rcode)
}
