package main

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
	"meridian/transfer/tsig"
)

// axfrTimeout bounds the wait for each message of a transfer.
const axfrTimeout = 30 * time.Second

// axfr takes a zone from a name server.
func axfr(server string, zone dnsname.Name, key *tsigFlag) (*zoneRecords, error) {
	address, err := serverAddress(server)
	if err != nil {
		return nil, err
	}
	asked := new(dns.Msg).SetAxfr(string(zone))
	t := &dns.Transfer{DialTimeout: axfrTimeout, ReadTimeout: axfrTimeout}
	if key.name != "" {
		asked.SetTsig(key.name, key.algorithm, tsig.Fudge, time.Now().Unix())
		t.TsigSecret = map[string]string{key.name: key.secret}
	}
	messages, err := t.In(asked, address)
	if err != nil {
		return nil, err
	}
	z := &zoneRecords{records: map[string]bool{}}
	for m := range messages {
		err = errors.Join(err, m.Error) // the channel closes after an error
		for _, rr := range m.RR {
			z.add(rr)
		}
	}
	if err != nil {
		return nil, transferError(err, key)
	}
	return z, nil
}

// transferError describes why a name server sent no zone, and what to do.
func transferError(err error, key *tsigFlag) error {
	var rcode int
	if _, failed := fmt.Sscanf(err.Error(), "dns: bad xfr rcode: %d", &rcode); failed == nil {
		text := "no transfer: the server answers " + cmp.Or(dns.RcodeToString[rcode], "RCODE "+strconv.Itoa(rcode))
		switch rcode {
		case dns.RcodeRefused:
			return hinted(text, "it must allow this address and key (Meridian: transfer.out of the zone); --tsig names the key; a zone that it sends over TLS only cannot be taken here")
		case dns.RcodeNotAuth:
			return hinted(text, "it does not have the zone, or does not accept the key of --tsig")
		}
		return errors.New(text)
	}
	for _, unsigned := range []error{dns.ErrAuth, dns.ErrSig, dns.ErrNoSig, dns.ErrTime} {
		if errors.Is(err, unsigned) && key.name != "" {
			return hinted(fmt.Sprintf("no transfer: the answer is not signed with key %s", key.name),
				"the server does not know the key, or has another secret or algorithm for it, or its clock differs by more than 5 minutes")
		}
	}
	return fmt.Errorf("no transfer: %w", err)
}

// serverAddress returns the address of a name server with a port, 53 if it has none.
func serverAddress(server string) (string, error) {
	if a, err := netip.ParseAddrPort(server); err == nil {
		return a.String(), nil
	}
	a, err := netip.ParseAddr(server)
	if err != nil {
		return "", errors.New("want @ADDRESS or @ADDRESS:PORT, such as @192.0.2.54 or @[2001:db8::54]:53")
	}
	return net.JoinHostPort(a.String(), "53"), nil
}

// tsigFlag is the key that signs transfers.
type tsigFlag struct {
	text            string
	name, algorithm string
	secret          string // in base64
}

func (f *tsigFlag) String() string { return f.text }
func (f *tsigFlag) Type() string   { return "KEY" }

// Set reads [ALGORITHM:]NAME:FILE, and the file.
func (f *tsigFlag) Set(text string) error {
	parts := strings.SplitN(text, ":", 3)
	algorithm := tsig.DefaultAlgorithm
	if len(parts) > 1 && strings.HasPrefix(strings.ToLower(parts[0]), "hmac-") {
		algorithm, parts = strings.ToLower(parts[0]), parts[1:]
		if !slices.Contains(tsig.Algorithms(), algorithm) {
			return unknownAlgorithm(algorithm)
		}
	} else {
		parts = strings.SplitN(text, ":", 2)
	}
	if len(parts) != 2 || parts[0] == "" || parts[1] == "" {
		return errors.New("want NAME:FILE, such as xfr:/etc/meridian/xfr.key, or hmac-sha512:NAME:FILE")
	}
	secret, err := readSecret(parts[1])
	if first, _, more := strings.Cut(parts[1], ":"); errors.Is(err, fs.ErrNotExist) && more && first != "" {
		return fmt.Errorf("%w; or %w", err, unknownAlgorithm(parts[0])) // the path may have a colon
	}
	if err != nil {
		return err
	}
	*f = tsigFlag{text: text, name: dns.CanonicalName(parts[0]), algorithm: dns.Fqdn(algorithm), secret: secret}
	return nil
}

// readSecret returns the secret in a file, in base64.
func readSecret(file string) (string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	secret := strings.TrimSpace(string(content))
	if decoded, err := base64.StdEncoding.DecodeString(secret); err != nil || len(decoded) == 0 {
		return "", fmt.Errorf("%s has no secret in base64", file)
	}
	return secret, nil
}

func unknownAlgorithm(word string) error {
	hint := "known: " + strings.Join(tsig.Algorithms(), ", ")
	if near, ok := config.Nearest(word, tsig.Algorithms()); ok {
		hint = fmt.Sprintf("did you mean %q?", near)
	}
	return fmt.Errorf("unknown algorithm %q; %s", word, hint)
}
