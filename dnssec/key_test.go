package dnssec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestSignaturesVerifyAndAreDeterministic(t *testing.T) {
	for _, algorithm := range []uint8{ECDSAP256SHA256, ED25519} {
		for range 20 { // the numbers of an ECDSA signature have leading zeros in one of 128
			k := generate(t, algorithm)
			record := dnskeyRecord(k)
			if record.KeyTag() != k.Tag {
				t.Fatalf("tag %d, miekg/dns says %d", k.Tag, record.KeyTag())
			}
			set := []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: "www.example.com.", Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 30}, A: []byte{192, 0, 2, 1}}}
			rrsig := &dns.RRSIG{
				Hdr:       dns.RR_Header{Name: "www.example.com.", Rrtype: dns.TypeRRSIG, Class: dns.ClassINET, Ttl: 30},
				Algorithm: algorithm, Labels: 3, OrigTtl: 30, TypeCovered: dns.TypeA, KeyTag: k.Tag, SignerName: "example.com.",
				Inception: 1000, Expiration: 2000,
			}
			first, again := sign(t, k, rrsig, set[0]), sign(t, k, rrsig, set[0])
			if !bytes.Equal(first, again) {
				t.Fatal("two signatures of the same message differ")
			}
			rrsig.Signature = base64.StdEncoding.EncodeToString(first)
			if err := rrsig.Verify(record, set); err != nil {
				t.Fatalf("algorithm %d: %v", algorithm, err)
			}
		}
	}
}

// sign signs the message of RFC 4034 3.1.8.1 for one record.
func sign(t *testing.T, k *Key, rrsig *dns.RRSIG, record dns.RR) []byte {
	t.Helper()
	rrsig.Signature = ""
	message := make([]byte, 512)
	rdata := len("www.example.com.") + 1 + 10 // the owner, then type, class, TTL and length
	records, err := dns.PackRR(rrsig, message, 0, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	end, err := dns.PackRR(record, message, records, nil, false)
	if err != nil {
		t.Fatal(err)
	}
	signature, err := k.Sign([]byte("before"), message[rdata:end])
	if err != nil || !bytes.HasPrefix(signature, []byte("before")) {
		t.Fatalf("Sign = %x, %v; want it to append", signature, err)
	}
	return signature[len("before"):]
}

func TestDSMatchesThatOfTheDNSKEY(t *testing.T) {
	for _, algorithm := range []uint8{ECDSAP256SHA256, ED25519} {
		k := generate(t, algorithm)
		for _, digest := range []uint8{SHA256, SHA384} {
			want := dnskeyRecord(k).ToDS(digest)
			got := k.DS(digest)
			if hex.EncodeToString(got[4:]) != want.Digest || uint16(got[0])<<8|uint16(got[1]) != want.KeyTag || got[2] != algorithm || got[3] != digest {
				t.Errorf("DS = %x, want %v", got, want)
			}
		}
		if k.DS(1) != nil {
			t.Error("DS with SHA-1, want none")
		}
	}
	if DS("example.com.", []byte{1, 1, 3}, SHA256) != nil {
		t.Error("a DS of three octets, want none")
	}
}

func TestNewKeyRefusesKeysThatCannotSign(t *testing.T) {
	p384, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	p256 := generate(t, ECDSAP256SHA256).Private()
	ed := generate(t, ED25519).Private()
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"P-384 for algorithm 13", second(NewKey("example.com.", 257, ECDSAP256SHA256, p384)), "not a key on P-256"},
		{"Ed25519 for algorithm 13", second(NewKey("example.com.", 257, ECDSAP256SHA256, ed)), "not a key on P-256"},
		{"P-256 for algorithm 15", second(NewKey("example.com.", 257, ED25519, p256)), "not an Ed25519 key"},
		{"RSA", second(NewKey("example.com.", 257, 8, p256)), "algorithm 8 is not supported, want 13"},
		{"RSA generated", second(Generate("example.com.", 257, 8)), "algorithm 8 is not supported, want 13"},
		{"flags of a host key", second(NewKey("example.com.", 1, ED25519, ed)), "want 256 or 257"},
	}
	for _, test := range tests {
		if test.err == nil || !strings.Contains(test.err.Error(), test.want) {
			t.Errorf("%s: error %v, want %q", test.name, test.err, test.want)
		}
	}
}

func TestSignaturesInDERBecomeFixedWidth(t *testing.T) {
	tests := []struct {
		name, der, want string // in hexadecimal; want empty: an error
	}{
		{"short numbers", "3006" + "020101" + "020102", strings.Repeat("00", 31) + "01" + strings.Repeat("00", 31) + "02"},
		{"a sign octet", "3007" + "02020080" + "020102", strings.Repeat("00", 31) + "80" + strings.Repeat("00", 31) + "02"},
		{"a number of 33 octets", "3026" + "0221" + strings.Repeat("11", 33) + "020102", ""},
		{"octets after the sequence", "3006" + "020101" + "020102" + "00", ""},
		{"a third number", "3009" + "020101" + "020102" + "020103", ""},
		{"one number", "3003" + "020101", ""},
		{"nothing", "", ""},
	}
	for _, test := range tests {
		der, err := hex.DecodeString(test.der)
		if err != nil {
			t.Fatal(err)
		}
		got, err := appendFixedWidth(nil, der)
		if (err != nil) != (test.want == "") || err == nil && hex.EncodeToString(got) != test.want {
			t.Errorf("%s: %x, %v, want %s", test.name, got, err, test.want)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func generate(t *testing.T, algorithm uint8) *Key {
	t.Helper()
	k, err := Generate("example.com.", ZoneKey|SEP, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func dnskeyRecord(k *Key) *dns.DNSKEY {
	return &dns.DNSKEY{
		Hdr:   dns.RR_Header{Name: string(k.Zone), Rrtype: dns.TypeDNSKEY, Class: dns.ClassINET, Ttl: 3600},
		Flags: k.Flags, Protocol: 3, Algorithm: k.Algorithm, PublicKey: base64.StdEncoding.EncodeToString(k.PublicKey),
	}
}
