// Command verify checks the answers that a server gives to queries with DO before its rate is measured: errors are fast.
//
//	verify 127.0.0.1:5300 gslb.example.com queries.do 500
//
// It asks for the keys of the zone, sends the first 500 different queries of the file, and verifies each record set of
// each answer. It prints one line of tab-separated numbers: answers, bogus ones, and their mean size in octets. An answer
// is bogus if a set in it has no valid signature, or if it has neither records nor an NSEC or NSEC3 record.
package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/miekg/dns"
)

func main() {
	if err := run(os.Args[1:], os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "verify:", err)
		os.Exit(1)
	}
}

func run(args []string, stdout, notes io.Writer) error {
	if len(args) != 4 {
		return errors.New("want ADDRESS:PORT ZONE FILE NUMBER")
	}
	number, err := strconv.Atoi(args[3])
	if err != nil || number < 1 {
		return fmt.Errorf("NUMBER is %q, want a positive number", args[3])
	}
	queries, err := readQueries(args[2], number)
	if err != nil {
		return err
	}
	keys, err := askKeys(args[0], dns.Fqdn(args[1]))
	if err != nil {
		return err
	}
	bogus, octets := 0, 0
	for _, query := range queries {
		answer, size, err := ask(args[0], query)
		if err != nil {
			return fmt.Errorf("%s: %w", query.Question[0].String(), err)
		}
		octets += size
		if err := check(answer, keys); err != nil {
			bogus++
			fmt.Fprintf(notes, "verify: %s: %v\n", query.Question[0].String(), err)
		}
	}
	_, err = fmt.Fprintf(stdout, "%d\t%d\t%d\n", len(queries), bogus, octets/len(queries))
	return err
}

// readQueries returns the first number of different queries of a file with the framing of DNS over TCP.
func readQueries(path string, number int) ([]*dns.Msg, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var queries []*dns.Msg
	seen := map[dns.Question]bool{}
	for len(data) > 2 && len(queries) < number {
		end := 2 + int(binary.BigEndian.Uint16(data))
		if end > len(data) {
			return nil, fmt.Errorf("%s: query %d is cut short", path, len(queries)+1)
		}
		query := new(dns.Msg)
		if err := query.Unpack(data[2:end]); err != nil || len(query.Question) != 1 {
			return nil, fmt.Errorf("%s: query %d has not one question: %w", path, len(queries)+1, err)
		}
		data = data[end:]
		if q := query.Question[0]; !seen[q] {
			seen[q] = true
			queries = append(queries, query)
		}
	}
	if len(queries) == 0 {
		return nil, fmt.Errorf("%s has no query", path)
	}
	return queries, nil
}

// ask sends a query over UDP, and again if no answer comes.
func ask(server string, query *dns.Msg) (answer *dns.Msg, size int, err error) {
	for range 3 {
		if answer, size, err = exchange(server, query); err == nil {
			return answer, size, nil
		}
	}
	return nil, 0, err
}

// exchange sends a query over UDP once, and returns the size of its answer too.
func exchange(server string, query *dns.Msg) (*dns.Msg, int, error) {
	query.Id = dns.Id()
	packet, err := query.Pack()
	if err != nil {
		return nil, 0, err
	}
	conn, err := net.Dial("udp", server)
	if err != nil {
		return nil, 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := conn.Write(packet); err != nil {
		return nil, 0, err
	}
	in := make([]byte, dns.MaxMsgSize)
	n, err := conn.Read(in)
	if err != nil {
		return nil, 0, err
	}
	answer := new(dns.Msg)
	if err := answer.Unpack(in[:n]); err != nil {
		return nil, 0, err
	}
	if answer.Id != query.Id {
		return nil, 0, fmt.Errorf("an answer to query %d, want %d", answer.Id, query.Id)
	}
	return answer, n, nil
}

// askKeys returns the keys of a zone by their tags.
func askKeys(server, zone string) (map[uint16]*dns.DNSKEY, error) {
	query := new(dns.Msg).SetQuestion(zone, dns.TypeDNSKEY)
	query.SetEdns0(4096, true)
	answer, _, err := ask(server, query)
	if err != nil {
		return nil, fmt.Errorf("the keys of %s: %w", zone, err)
	}
	keys := map[uint16]*dns.DNSKEY{}
	for _, rr := range answer.Answer {
		if key, ok := rr.(*dns.DNSKEY); ok {
			keys[key.KeyTag()] = key
		}
	}
	return keys, check(answer, keys)
}

// setOf identifies the set of a record.
type setOf struct {
	name string
	typ  uint16
}

// check returns why an answer is bogus.
func check(answer *dns.Msg, keys map[uint16]*dns.DNSKEY) error {
	if answer.Truncated || answer.Rcode != dns.RcodeSuccess && answer.Rcode != dns.RcodeNameError {
		return fmt.Errorf("code %s, truncated %v", dns.RcodeToString[answer.Rcode], answer.Truncated)
	}
	for _, section := range [][]dns.RR{answer.Answer, answer.Ns} {
		if err := checkSection(section, keys); err != nil {
			return err
		}
	}
	denies := func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeNSEC || rr.Header().Rrtype == dns.TypeNSEC3 }
	if len(answer.Answer) == 0 && !slices.ContainsFunc(answer.Ns, denies) {
		return errors.New("no record, and no proof that there is none")
	}
	return nil
}

// checkSection verifies the signatures of all sets of a section.
func checkSection(section []dns.RR, keys map[uint16]*dns.DNSKEY) error {
	sets, signatures := map[setOf][]dns.RR{}, map[setOf]*dns.RRSIG{}
	for _, rr := range section {
		of := setOf{dns.CanonicalName(rr.Header().Name), rr.Header().Rrtype}
		if sig, ok := rr.(*dns.RRSIG); ok {
			of.typ = sig.TypeCovered
			signatures[of] = sig
			continue
		}
		sets[of] = append(sets[of], rr)
	}
	for of, set := range sets {
		if err := verify(signatures[of], set, keys); err != nil {
			return fmt.Errorf("%s %s: %w", of.name, dns.Type(of.typ), err)
		}
	}
	return nil
}

// verify checks the signature of one set.
func verify(sig *dns.RRSIG, set []dns.RR, keys map[uint16]*dns.DNSKEY) error {
	switch {
	case sig == nil:
		return errors.New("no signature")
	case keys[sig.KeyTag] == nil:
		return fmt.Errorf("no key with the tag %d", sig.KeyTag)
	case !sig.ValidityPeriod(time.Now()):
		return errors.New("the signature is not valid now")
	}
	return sig.Verify(keys[sig.KeyTag], set)
}
