package keys

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/miekg/dns"

	"meridian/dnsname"
	"meridian/dnssec"
)

// The endings of the files of a key.
const (
	publicFile  = ".key"
	privateFile = ".private"
	stateFile   = ".state"
)

// texts are the contents of a key's files.
type texts struct{ public, private, state string }

// fileError is an error in one file of a key.
type fileError struct {
	ending string
	err    error
}

func (e *fileError) Error() string { return e.err.Error() }
func (e *fileError) Unwrap() error { return e.err }

func in(ending string, err error) error {
	if err == nil {
		return nil
	}
	return &fileError{ending, err}
}

// parse reads a key from its files; an empty state is none.
func parse(t texts) (*Key, error) {
	record, err := parseRecord(t.public)
	if err != nil {
		return nil, in(publicFile, err)
	}
	k := &Key{ttl: record.Hdr.Ttl}
	if k.private, err = parseFields(t.private); err != nil {
		return nil, in(privateFile, err)
	}
	signer, err := parsePrivate(k.private, record.Algorithm)
	if err != nil {
		return nil, in(privateFile, err)
	}
	zone, err := dnsname.Parse(record.Hdr.Name)
	if err != nil {
		return nil, in(publicFile, err)
	}
	if k.Key, err = dnssec.NewKey(zone, record.Flags, record.Algorithm, signer); err != nil {
		return nil, in(publicFile, err)
	}
	public, err := base64.StdEncoding.DecodeString(record.PublicKey)
	if err != nil || !bytes.Equal(public, k.PublicKey) {
		return nil, in(privateFile, errors.New("the private half does not belong to the public half in the .key file; copy both from the same key"))
	}
	if k.state, err = parseFields(t.state); err != nil {
		return nil, in(stateFile, err)
	}
	return k, k.readTimes()
}

// readTimes takes the times from the lines: those that .private has from there, the rest from .state.
func (k *Key) readTimes() (err error) {
	for _, f := range k.named() {
		lines, name, ending := k.private, f.private, privateFile
		if name == "" {
			lines, name, ending = k.state, f.state, stateFile
		}
		if *f.at, err = lines.time(name); err != nil {
			return in(ending, err)
		}
	}
	return nil
}

// parseRecord reads the one DNSKEY record of a .key file.
func parseRecord(text string) (*dns.DNSKEY, error) {
	parser := dns.NewZoneParser(strings.NewReader(text), ".", "")
	parser.SetDefaultTTL(0)
	var found *dns.DNSKEY
	for rr, ok := parser.Next(); ok; rr, ok = parser.Next() {
		key, isKey := rr.(*dns.DNSKEY)
		if !isKey || found != nil {
			return nil, errors.New("it has more than one DNSKEY record")
		}
		found = key
	}
	switch {
	case parser.Err() != nil:
		return nil, parser.Err()
	case found == nil:
		return nil, errNoRecord
	case found.Protocol != 3:
		return nil, fmt.Errorf("protocol %d, want 3", found.Protocol)
	}
	return found, nil
}

// parsePrivate reads the private half of an algorithm.
func parsePrivate(f fields, algorithm uint8) (crypto.Signer, error) {
	format, _ := f.get("Private-key-format")
	if !strings.HasPrefix(format, "v1.") {
		return nil, fmt.Errorf("the Private-key-format is %q, want v1.2 or v1.3", clip(format))
	}
	value, _ := f.get("Algorithm")
	number, _, _ := strings.Cut(value, " ")
	if number != strconv.Itoa(int(algorithm)) {
		return nil, fmt.Errorf("algorithm %q, and the .key file has %d", clip(value), algorithm)
	}
	text, ok := f.get("PrivateKey")
	if !ok && (algorithm == dnssec.ECDSAP256SHA256 || algorithm == dnssec.ED25519) {
		return nil, errors.New("it has no PrivateKey; keys in a hardware module are not supported")
	}
	secret, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, errors.New("PrivateKey is not in base64")
	}
	return signerOf(secret, algorithm)
}

// signerOf returns the private half with these octets.
func signerOf(secret []byte, algorithm uint8) (crypto.Signer, error) {
	switch algorithm {
	case dnssec.ECDSAP256SHA256:
		k, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), secret)
		if err != nil {
			return nil, errors.New("PrivateKey is not a key on P-256")
		}
		return k, nil
	case dnssec.ED25519:
		if len(secret) != ed25519.SeedSize {
			return nil, fmt.Errorf("PrivateKey has %d octets, want %d", len(secret), ed25519.SeedSize)
		}
		return ed25519.NewKeyFromSeed(secret), nil
	}
	return nil, fmt.Errorf("algorithm %d is not supported, want 13 (ecdsap256sha256) or 15 (ed25519)", algorithm)
}

// secretOf returns the octets of a private half.
func secretOf(signer crypto.Signer) ([]byte, error) {
	switch k := signer.(type) {
	case *ecdsa.PrivateKey:
		return k.Bytes()
	case ed25519.PrivateKey:
		return k.Seed(), nil
	}
	return nil, errors.New("a private half that cannot be written to a file")
}

// algorithmNames are the names that BIND writes.
var algorithmNames = map[uint8]string{dnssec.ECDSAP256SHA256: "ECDSAP256SHA256", dnssec.ED25519: "ED25519"}

// format writes the files of a key.
func (k *Key) format() (texts, error) {
	if len(k.private) == 0 {
		secret, err := secretOf(k.Private())
		if err != nil {
			return texts{}, err
		}
		k.private = fields{
			{"Private-key-format", "v1.3"},
			{"Algorithm", fmt.Sprintf("%d (%s)", k.Algorithm, algorithmNames[k.Algorithm])},
			{"PrivateKey", base64.StdEncoding.EncodeToString(secret)},
		}
	}
	if len(k.state) == 0 {
		k.state = k.firstState(false)
	}
	for _, f := range k.named() {
		if f.private != "" {
			k.private.set(f.private, formatTime(*f.at))
		}
		k.state.set(f.state, formatLongTime(*f.at))
	}
	state := fmt.Sprintf("; This is the state of key %d, for %s\n%s", k.Tag, k.Zone, k.state)
	return texts{public: k.formatPublic(), private: k.private.String(), state: state}, nil
}

// firstState returns the lines of a .state file that do not change. Length is that of the public key in bits.
func (k *Key) firstState(csk bool) fields {
	yes := map[bool]string{true: "yes", false: "no"}
	return fields{
		{"Algorithm", strconv.Itoa(int(k.Algorithm))},
		{"Length", "256"},
		{"Lifetime", "0"},
		{"KSK", yes[k.SEP()]},
		{"ZSK", yes[csk || !k.SEP()]},
	}
}

// formatPublic writes the .key file.
func (k *Key) formatPublic() string {
	role := "zone-signing"
	if k.SEP() {
		role = "key-signing"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "; This is a %s key, keyid %d, for %s\n", role, k.Tag, k.Zone)
	for _, f := range k.named() {
		if f.private != "" && !f.at.IsZero() {
			fmt.Fprintf(&b, "; %s: %s\n", f.private, formatLongTime(*f.at))
		}
	}
	ttl := ""
	if k.ttl > 0 {
		ttl = strconv.FormatUint(uint64(k.ttl), 10) + " "
	}
	fmt.Fprintf(&b, "%s %sIN DNSKEY %d 3 %d %s\n", k.Zone, ttl, k.Flags, k.Algorithm, base64.StdEncoding.EncodeToString(k.PublicKey))
	return b.String()
}
