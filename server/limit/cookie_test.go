package limit

import (
	"encoding/hex"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

const testSecret = "e5e973e5a6b2a43f48e7dc849e37bfcf"

// cookiesOf returns Cookies with secrets, the first of which makes cookies.
func cookiesOf(t testing.TB, secrets ...string) *Cookies {
	t.Helper()
	c, err := OpenCookies(secretsFile(t, strings.Join(secrets, "\n")+"\n", 0o600))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func secretsFile(t testing.TB, content string, mode os.FileMode) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "cookie.secrets")
	if err := os.WriteFile(file, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	return file
}

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	data, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// TestCookiesOfTheRFC checks the examples of RFC 9018, appendix A.
func TestCookiesOfTheRFC(t *testing.T) {
	const second, third = "dd3bdf9344b678b185a6f5cb60fca715", "445536bcd2513298075a5d379663c962"
	for _, c := range []struct {
		name, secrets, source, cookie string
		now                           int64
		result                        CookieResult
		reply                         string
	}{
		{"A.1 a new cookie", testSecret, "198.51.100.100", "2464c4abcf10c957", 0x5cf79f11, CookieNew, "2464c4abcf10c957010000005cf79f111f8130c3eee29480"},
		{"A.2 a renewed cookie", testSecret, "198.51.100.100", "2464c4abcf10c957010000005cf79f111f8130c3eee29480", 0x5cf7a871, CookieValid, "2464c4abcf10c957010000005cf7a871d4a564a1442aca77"},
		{"A.3 reserved octets", testSecret, "203.0.113.203", "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5", 0x5cf78f72, CookieValid, "fc93fc62807ddb8601abcdef5cf78f71a314227b6679ebf5"},
		{"A.4 a cookie of the old secret", third + " " + second, "2001:db8:220:1:59de:d0f4:8769:82b8", "22681ab97d52c298010000005cf7c57926556bd0934c72f8", 0x5cf7c609, CookieValid, "22681ab97d52c298010000005cf7c609a6bb79d16625507a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var reply [CookieSize]byte
			result := cookiesOf(t, strings.Fields(c.secrets)...).Check(&reply, unhex(t, c.cookie), netip.MustParseAddr(c.source), c.now)
			if result != c.result || hex.EncodeToString(reply[:]) != c.reply {
				t.Errorf("%s %x, want %s %s", result, reply, c.result, c.reply)
			}
		})
	}
}

func TestSecretOfAnotherProcess(t *testing.T) {
	before, after, source := NewCookies(), NewCookies(), netip.MustParseAddr("192.0.2.7")
	var cookie, reply [CookieSize]byte
	before.Check(&cookie, unhex(t, "2464c4abcf10c957"), source, 1000)
	if err := after.UseSecret(before.Secret()[1:]); err == nil {
		t.Error("a secret of 15 octets is accepted")
	}
	if result := after.Check(&reply, cookie[:], source, 1000); result != CookieInvalid {
		t.Errorf("before the secret is passed: %s", result)
	}
	if err := after.UseSecret(before.Secret()); err != nil {
		t.Fatal(err)
	}
	if result := after.Check(&reply, cookie[:], source, 1000); result != CookieValid || reply != cookie {
		t.Errorf("after the secret is passed: %s, %x to %x", result, cookie, reply)
	}
}

func TestCookieTimes(t *testing.T) {
	c, client, source := cookiesOf(t, testSecret), unhex(t, "2464c4abcf10c957"), netip.MustParseAddr("192.0.2.7")
	const made = int64(1<<32 - 100) // the time wraps soon after
	var cookie [CookieSize]byte
	c.Check(&cookie, client, source, made)
	for _, step := range []struct {
		after  int64
		result CookieResult
		same   bool
	}{{-301, CookieInvalid, false}, {-300, CookieValid, true}, {0, CookieValid, true}, {1800, CookieValid, true}, {1801, CookieValid, false}, {3600, CookieValid, false}, {3601, CookieInvalid, false}, {1 << 31, CookieInvalid, false}} {
		var reply [CookieSize]byte
		result := c.Check(&reply, cookie[:], source, made+step.after)
		if result != step.result || (reply == cookie) != step.same {
			t.Errorf("after %d s: %s, same %v; want %s, %v", step.after, result, reply == cookie, step.result, step.same)
		}
		if again := c.Check(&cookie2, reply[:], source, made+step.after); again != CookieValid {
			t.Errorf("after %d s: the cookie of the answer is %s", step.after, again)
		}
	}
}

var cookie2 [CookieSize]byte

// TestCookieIsForOneClient changes each octet of a cookie, its size, and the address of its client.
func TestCookieIsForOneClient(t *testing.T) {
	c, source := cookiesOf(t, testSecret), netip.MustParseAddr("192.0.2.7")
	var cookie, reply [CookieSize]byte
	c.Check(&cookie, unhex(t, "2464c4abcf10c957"), source, 1000)
	for i := range cookie {
		changed := cookie
		changed[i] ^= 0x10
		if result := c.Check(&reply, changed[:], source, 1000); result != CookieInvalid {
			t.Errorf("octet %d changed: %s", i, result)
		}
	}
	for _, cookie := range [][]byte{cookie[:16], cookie[:23], append(cookie[:], 0)} {
		if result := c.Check(&reply, cookie, source, 1000); result != CookieInvalid {
			t.Errorf("%d octets: %s", len(cookie), result)
		}
	}
	for _, other := range []string{"192.0.2.8", "::ffff:192.0.2.7", "2001:db8::1"} {
		if result := c.Check(&reply, cookie[:], netip.MustParseAddr(other), 1000); result != CookieInvalid {
			t.Errorf("from %s: %s", other, result)
		}
	}
	if result := NewCookies().Check(&reply, cookie[:], source, 1000); result != CookieInvalid {
		t.Errorf("with another secret: %s", result)
	}
}

func TestSecretsAreReadAgain(t *testing.T) {
	const newer = "445536bcd2513298075a5d379663c962"
	c, source := cookiesOf(t, testSecret), netip.MustParseAddr("192.0.2.7")
	var old, made, reply [CookieSize]byte
	c.Check(&old, unhex(t, "2464c4abcf10c957"), source, 1000)
	write := func(content string) (bool, error) {
		if err := os.WriteFile(c.file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return c.Update()
	}
	if changed, err := write(newer + "\n" + testSecret + "\n"); !changed || err != nil || c.Secrets() != 2 {
		t.Fatalf("changed %v, error %v, %d secrets", changed, err, c.Secrets())
	}
	if result := c.Check(&made, old[:], source, 1000); result != CookieValid || made == old {
		t.Errorf("a cookie of the old secret is %s, renewed %v", result, made != old)
	}
	if changed, err := write("broken\n"); changed || err == nil {
		t.Errorf("a broken file: changed %v, error %v", changed, err)
	}
	if result := c.Check(&reply, old[:], source, 1000); result != CookieValid {
		t.Errorf("after a broken file, a cookie of the old secret is %s", result)
	}
	if changed, err := write(newer + "\n"); !changed || err != nil {
		t.Errorf("changed %v, error %v", changed, err)
	}
	if result := c.Check(&reply, old[:], source, 1000); result != CookieInvalid {
		t.Errorf("a cookie of a removed secret is %s", result)
	}
	if result := c.Check(&reply, made[:], source, 1000); result != CookieValid {
		t.Errorf("a cookie of the new secret is %s", result)
	}
	if changed, err := c.Update(); changed || err != nil {
		t.Errorf("an unchanged file: changed %v, error %v", changed, err)
	}
}

func TestBrokenSecrets(t *testing.T) {
	for content, want := range map[string]string{
		"":                                       "it has no secret",
		"\n \n":                                  "it has no secret",
		testSecret + "\n\n" + testSecret[:30]:    "line 3 is not a secret of 32 hexadecimal digits",
		strings.Replace(testSecret, "e", "g", 1): "line 1 is not a secret of 32 hexadecimal digits",
		strings.Repeat(testSecret+"\n", 9):       "it has 9 secrets; want at most 8",
		strings.Repeat(" ", 5000):                "it has more than 4096 octets; want at most 8 secrets",
	} {
		if _, err := OpenCookies(secretsFile(t, content, 0o600)); err == nil || err.Error() != want {
			t.Errorf("%q: error %v, want %s", content, err, want)
		}
	}
	file := secretsFile(t, testSecret, 0o644)
	if _, err := OpenCookies(file); err == nil || err.Error() != "other users can read it: chmod 600 "+file {
		t.Errorf("error %v", err)
	}
	if _, err := OpenCookies(file + ".missing"); err == nil || err.Error() != "cannot be read: no such file or directory" {
		t.Errorf("error %v", err)
	}
}

func FuzzCookie(f *testing.F) {
	f.Add([]byte("12345678"), int64(1))
	f.Add(make([]byte, CookieSize), int64(0))
	c, source := NewCookies(), netip.MustParseAddr("192.0.2.7")
	f.Fuzz(func(t *testing.T, cookie []byte, now int64) {
		if !CookieSizeOK(len(cookie)) {
			return
		}
		var reply, again [CookieSize]byte
		if c.Check(&reply, cookie, source, now) == CookieValid {
			t.Errorf("cookie %x is valid", cookie)
		}
		if c.Check(&again, reply[:], source, now) != CookieValid || again != reply {
			t.Errorf("the cookie of the answer, %x, is not valid", reply)
		}
	})
}

func BenchmarkCookie(b *testing.B) {
	c, source := NewCookies(), netip.MustParseAddr("192.0.2.7")
	var cookie, reply [CookieSize]byte
	now := time.Now().Unix()
	c.Check(&cookie, make([]byte, ClientCookieSize), source, now)
	for name, cookie := range map[string][]byte{"new": cookie[:ClientCookieSize], "valid": cookie[:]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Check(&reply, cookie, source, now)
			}
		})
	}
}
