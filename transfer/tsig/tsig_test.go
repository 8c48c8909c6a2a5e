package tsig

import (
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var now = time.Unix(1_800_000_000, 0)

const secretText = "c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0IQ=="

// ring returns a keyring with the key "xfr." of an algorithm.
func ring(t testing.TB, algorithm string) *Keyring {
	t.Helper()
	file := filepath.Join(t.TempDir(), "xfr.key")
	if err := os.WriteFile(file, []byte(secretText+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := new(Keyring)
	if err := r.Add("xfr.", algorithm, file); err != nil {
		t.Fatal(err)
	}
	return r
}

// request returns a request that miekg/dns has signed, with its MAC.
func request(t testing.TB, algorithm, secret string, at time.Time) (msg []byte, mac string) {
	t.Helper()
	m := new(dns.Msg).SetQuestion("Example.com.", dns.TypeAXFR)
	m.SetTsig("XFR.", algorithm+".", Fudge, at.Unix())
	msg, mac, err := dns.TsigGenerate(m, secret, "", false)
	if err != nil {
		t.Fatal(err)
	}
	return msg, mac
}

func verify(t testing.TB, keys *Keyring, msg []byte) *Response {
	t.Helper()
	at, err := find(msg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Verify(keys, msg, at, now)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestResponseIsSignedAsTheLibraryExpects checks every algorithm against miekg/dns: it signs a request, and verifies
// three messages of a stream.
func TestResponseIsSignedAsTheLibraryExpects(t *testing.T) {
	for algorithm := range algorithms {
		t.Run(algorithm, func(t *testing.T) {
			now := time.Now() // miekg/dns verifies with the clock
			msg, mac := request(t, algorithm, secretText, now)
			at, _ := find(msg)
			r, err := Verify(ring(t, algorithm), msg, at, now)
			if err != nil || r.Error != NoError {
				t.Fatalf("%v, error %d", err, r.Error)
			}
			for i := range 3 {
				framed := append([]byte{0, 0}, msg[:at]...)
				framed[2+11]-- // as the question, without the record
				size := len(framed)
				framed = r.Append(framed, 2, now)
				if len(framed)-size != r.Size() {
					t.Errorf("the record has %d octets, Size is %d", len(framed)-size, r.Size())
				}
				if err := dns.TsigVerify(append([]byte(nil), framed[2:]...), secretText, mac, i > 0); err != nil {
					t.Errorf("message %d: %v", i, err)
				}
				parsed, err := parse(framed[2:], size-2)
				if err != nil {
					t.Fatal(err)
				}
				mac = hex.EncodeToString(parsed.mac)
			}
		})
	}
}

// TestVerifyReportsTheErrorsOfTheRFC checks RFC 8945 5.2: which error, and whether its response is signed.
func TestVerifyReportsTheErrorsOfTheRFC(t *testing.T) {
	other := base64.StdEncoding.EncodeToString([]byte("another secret of the key"))
	for _, c := range []struct {
		name, algorithm, secret string
		skew                    time.Duration
		want                    uint16
		signed                  bool
	}{
		{"valid", DefaultAlgorithm, secretText, 0, NoError, true},
		{"at the edge of the past", DefaultAlgorithm, secretText, -Fudge * time.Second, NoError, true},
		{"at the edge of the future", DefaultAlgorithm, secretText, Fudge * time.Second, NoError, true},
		{"too old", DefaultAlgorithm, secretText, -(Fudge + 1) * time.Second, BadTime, true},
		{"too new", DefaultAlgorithm, secretText, (Fudge + 1) * time.Second, BadTime, true},
		{"another secret", DefaultAlgorithm, other, 0, BadSig, false},
		{"another secret, too old", DefaultAlgorithm, other, -time.Hour, BadSig, false},
		{"another algorithm", "hmac-sha512", secretText, 0, BadKey, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			msg, _ := request(t, c.algorithm, c.secret, now.Add(c.skew))
			r := verify(t, ring(t, DefaultAlgorithm), msg)
			if r.Error != c.want || (r.Key() != nil) != c.signed {
				t.Errorf("error %d, key %v; want %d, signed %v", r.Error, r.Key(), c.want, c.signed)
			}
			answer := new(dns.Msg).SetQuestion("example.com.", dns.TypeAXFR)
			octets, _ := answer.Pack()
			octets = r.Append(octets, 0, now)
			if err := answer.Unpack(octets); err != nil {
				t.Fatal(err)
			}
			rr := answer.IsTsig()
			if rr == nil || rr.Error != c.want || (rr.MACSize > 0) != c.signed || rr.Hdr.Name != "xfr." {
				t.Errorf("the record of the answer: %v", rr)
			}
			if c.want == BadTime && (rr.OtherLen != otherSize || rr.TimeSigned != uint64(now.Add(c.skew).Unix())) {
				t.Errorf("BADTIME without the time of the server: %v", rr)
			}
		})
	}
	msg, _ := request(t, DefaultAlgorithm, secretText, now)
	if r := verify(t, nil, msg); r.Error != BadKey {
		t.Errorf("without keys: error %d", r.Error)
	}
}

// truncate shortens the MAC of a request to n octets.
func truncate(t *testing.T, msg []byte, n int) []byte {
	t.Helper()
	at, err := find(msg)
	if err != nil {
		t.Fatal(err)
	}
	r, err := parse(msg, at)
	if err != nil {
		t.Fatal(err)
	}
	r.mac = r.mac[:n]
	return r.append(append([]byte(nil), msg[:at]...))
}

func TestTruncatedSignaturesAreRefused(t *testing.T) {
	msg, _ := request(t, DefaultAlgorithm, secretText, now)
	keys := ring(t, DefaultAlgorithm)
	short := truncate(t, msg, 16)
	if r := verify(t, keys, short); r.Error != BadTrunc || r.Key() == nil {
		t.Errorf("half of the MAC: error %d", r.Error)
	}
	shorter := truncate(t, msg, 15)
	at, _ := find(shorter)
	if _, err := Verify(keys, shorter, at, now); err == nil {
		t.Error("less than half of the MAC is not FORMERR")
	}
}

// TestChangedMessagesFail changes each octet of a request. None may verify without an error.
func TestChangedMessagesFail(t *testing.T) {
	msg, _ := request(t, DefaultAlgorithm, secretText, now)
	keys := ring(t, DefaultAlgorithm)
	for i := 2; i < len(msg); i++ { // the ID is not covered: the record has the original one
		changed := append([]byte(nil), msg...)
		changed[i] ^= 1
		at, err := find(changed)
		if err != nil || at == 0 {
			continue
		}
		if r, err := Verify(keys, changed, at, now); err == nil && r.Error == NoError {
			folded := changed[i]|0x20 == msg[i]|0x20 // the case of the key's name is not covered
			if i < at || !folded {
				t.Errorf("octet %d of %d changed, and the message verifies", i, len(msg))
			}
		}
	}
}

// answers returns messages of a response to a request that Key.Sign has signed; those that are listed are not signed.
func answers(t *testing.T, n int, unsigned map[int]bool) (*Request, [][]byte) {
	t.Helper()
	keys := ring(t, DefaultAlgorithm)
	octets, err := new(dns.Msg).SetQuestion("example.com.", dns.TypeAXFR).Pack()
	if err != nil {
		t.Fatal(err)
	}
	signed, request := keys.Key("xfr.").Sign(append([]byte(nil), octets...), now)
	r := verify(t, keys, signed)
	if r.Error != NoError {
		t.Fatalf("error %d", r.Error)
	}
	var all [][]byte
	var gap []byte
	for i := range n {
		msg := append([]byte(nil), octets...)
		if unsigned[i] {
			gap = append(gap, msg...)
			all = append(all, msg)
			continue
		}
		all = append(all, appendAfterGap(r, msg, gap))
		gap = nil
	}
	return request, all
}

// appendAfterGap is Response.Append of a server that has sent messages without a signature before.
func appendAfterGap(r *Response, msg, gap []byte) []byte {
	if gap == nil {
		return r.Append(msg, 0, now)
	}
	to := record{name: r.request.name, algorithm: r.request.algorithm, time: uint64(now.Unix()), fudge: Fudge, originalID: r.request.originalID}
	h := r.key.newHash()
	hashPrior(h, r.prior)
	h.Write(gap)
	h.Write(msg)
	h.Write(to.appendVariables(nil, true))
	to.mac = h.Sum(nil)
	r.prior = to.mac
	msg[11]++
	return to.append(msg)
}

// TestStreamMayHaveGaps checks RFC 8945 5.3.1: up to 99 messages between two signatures, and the last one is signed.
// miekg/dns wants a signature in every message.
func TestStreamMayHaveGaps(t *testing.T) {
	between := func(first, last int) map[int]bool {
		m := map[int]bool{}
		for i := first; i <= last; i++ {
			m[i] = true
		}
		return m
	}
	for _, c := range []struct {
		name     string
		n        int
		unsigned map[int]bool
		want     string
	}{
		{"all signed", 3, nil, ""},
		{"99 unsigned", 102, between(1, 99), ""},
		{"100 unsigned", 102, between(1, 100), "the answer is not signed"},
		{"the first unsigned", 2, between(0, 0), "the answer is not signed"},
		{"the last unsigned", 3, between(2, 2), "the last message of the answer is not signed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			request, all := answers(t, c.n, c.unsigned)
			got := ""
			for _, msg := range all {
				if err := request.Verify(msg, now); err != nil {
					got = err.Error()
					break
				}
			}
			if err := request.End(); got == "" && err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// TestStreamNoticesLostAndChangedMessages checks that each MAC covers the one before.
func TestStreamNoticesLostAndChangedMessages(t *testing.T) {
	request, all := answers(t, 3, nil)
	if err := request.Verify(all[0], now); err != nil {
		t.Fatal(err)
	}
	if request.Verify(all[2], now) == nil {
		t.Error("a message that was left out is not noticed")
	}
	request, all = answers(t, 3, map[int]bool{1: true})
	all[1][13] ^= 1
	err := error(nil)
	for _, msg := range all {
		if err == nil {
			err = request.Verify(msg, now)
		}
	}
	if err == nil {
		t.Error("a changed message without a signature is not noticed")
	}
}

func TestClientExplainsWhatTheServerReports(t *testing.T) {
	for _, c := range []struct {
		keys *Keyring
		at   time.Time
		want string
	}{
		{nil, now, "BADKEY"},
		{ring(t, "hmac-sha512"), now, "BADKEY"},
		{ring(t, DefaultAlgorithm), now.Add(-time.Hour), "BADTIME"},
	} {
		octets, _ := new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA).Pack()
		signed, request := ring(t, DefaultAlgorithm).Key("xfr.").Sign(append([]byte(nil), octets...), c.at)
		r := verify(t, c.keys, signed)
		err := request.Verify(r.Append(append([]byte(nil), octets...), 0, now), c.at)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %s", err, c.want)
		}
	}
}

func TestSecretFilesAreChecked(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		content string
		mode    os.FileMode
		want    string
	}{
		{"not base64!", 0o600, "it is not one line of base64"},
		{"", 0o600, "its secret has 0 octets; want at least 8"},
		{"c2hvcnQ=", 0o600, "its secret has 5 octets; want at least 8"},
		{strings.Repeat("A", maxFile+1), 0o600, "it has more than 4096 octets"},
		{secretText, 0o604, "other users can read it"},
		{secretText, 0o640, ""},
	} {
		file := filepath.Join(dir, "key")
		if err := os.WriteFile(file, []byte(c.content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(file, c.mode); err != nil {
			t.Fatal(err)
		}
		err := new(Keyring).Add("k.", DefaultAlgorithm, file)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.20q: got %v, want %q", c.content, err, c.want)
		}
		if err != nil && len(c.content) > 8 && strings.Contains(err.Error(), c.content[:8]) {
			t.Errorf("the error repeats the secret: %v", err)
		}
	}
}

// TestUpdateUsesChangedSecrets changes a file while its key is in use. An unreadable one keeps the secret.
func TestUpdateUsesChangedSecrets(t *testing.T) {
	keys := ring(t, DefaultAlgorithm)
	file := keys.files[0].path
	if changed, err := keys.Update(); len(changed) > 0 || err != nil {
		t.Errorf("unchanged: %v, %v", changed, err)
	}
	next := base64.StdEncoding.EncodeToString([]byte("the next secret of the key"))
	if err := os.WriteFile(file, []byte(next), 0o600); err != nil {
		t.Fatal(err)
	}
	if changed, err := keys.Update(); len(changed) != 1 || err != nil {
		t.Errorf("changed: %v, %v", changed, err)
	}
	msg, _ := request(t, DefaultAlgorithm, next, now)
	if r := verify(t, keys, msg); r.Error != NoError {
		t.Errorf("the new secret: error %d", r.Error)
	}
	if err := os.WriteFile(file, []byte("?"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := keys.Update(); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("an unusable file: %v", err)
	}
	if r := verify(t, keys, msg); r.Error != NoError {
		t.Errorf("after the unusable file: error %d", r.Error)
	}
}

// FuzzVerify passes arbitrary messages to both sides. Neither may panic, and no message verifies but those of the key.
func FuzzVerify(f *testing.F) {
	msg, _ := request(f, DefaultAlgorithm, secretText, now)
	f.Add(msg)
	f.Add(msg[:len(msg)-1])
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 250, 0, 255, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})
	keys := ring(f, DefaultAlgorithm)
	key := NewKey("client.", DefaultAlgorithm, []byte("never used for these messages"))
	f.Fuzz(func(t *testing.T, msg []byte) {
		_, sent := key.Sign(make([]byte, headerSize), now)
		if sent.Verify(msg, now) == nil {
			t.Error("a message verifies that the key has not signed")
		}
		at, err := find(msg)
		if err != nil || at == 0 {
			return
		}
		r, err := Verify(keys, msg, at, now)
		if err != nil {
			return
		}
		answer := r.Append(append([]byte(nil), msg[:headerSize]...), 0, now)
		if len(answer) != headerSize+r.Size() {
			t.Errorf("%d octets appended, Size is %d", len(answer)-headerSize, r.Size())
		}
	})
}
