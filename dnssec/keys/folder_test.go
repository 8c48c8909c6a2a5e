package keys

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"meridian/dnssec"
)

// write generates a key and writes it to a folder.
func write(t *testing.T, path string, flags uint16, algorithm uint8) *Key {
	t.Helper()
	made, err := dnssec.Generate(zoneName, flags, algorithm)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	k := &Key{Key: made, Times: Times{Created: at, Publish: at, Activate: at.Add(time.Hour), SyncPublish: at.Add(2 * time.Hour), DSPublish: at.Add(3 * time.Hour)}, ttl: 60}
	if err := open(t, path).Write(k); err != nil {
		t.Fatal(err)
	}
	return k
}

func open(t *testing.T, path string) *Folder {
	t.Helper()
	f, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestKeysAreReadAsWritten(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	ksk := write(t, path, 257, dnssec.ECDSAP256SHA256)
	zsk := write(t, path, 256, dnssec.ED25519)
	got, err := open(t, path).Keys(zoneName)
	if err != nil || len(got) != 2 {
		t.Fatalf("%d keys, %v", len(got), err)
	}
	for _, k := range got {
		want := ksk
		if k.Tag == zsk.Tag {
			want = zsk
		}
		if k.Times != want.Times || !bytes.Equal(k.DNSKEY(), want.DNSKEY()) || k.File != want.File {
			t.Errorf("read %+v, want %+v", k, want)
		}
		if filepath.Dir(k.File) != filepath.Join(path, "example.com") {
			t.Errorf("file %s, want it in the folder of the zone", k.File)
		}
		info, err := os.Stat(k.File + privateFile)
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode of the private file %v, %v", info.Mode(), err)
		}
	}
	if left, _ := filepath.Glob(path + "/*/*" + next); len(left) > 0 {
		t.Errorf("files left: %v", left)
	}
}

func TestKeysOfOtherZonesAreNotRead(t *testing.T) {
	path := t.TempDir()
	write(t, path, 257, dnssec.ED25519)
	f := open(t, path)
	if got, err := f.Keys("example.org."); err != nil || len(got) > 0 {
		t.Errorf("%v, %v", got, err)
	}
	if f := open(t, filepath.Join(path, "none")); len(f.found) > 0 {
		t.Error("a folder that does not exist has keys")
	}
}

func TestErrorsOfKeyFilesNameTheFile(t *testing.T) {
	rename := func(from, to string) func(t *testing.T, base string) {
		return func(t *testing.T, base string) {
			if err := os.Rename(base+from, strings.ReplaceAll(base+to, "+015+", "+013+")); err != nil {
				t.Fatal(err)
			}
		}
	}
	edit := func(ending, old, new string) func(t *testing.T, base string) {
		return func(t *testing.T, base string) {
			text, err := os.ReadFile(base + ending)
			if err != nil || !strings.Contains(string(text), old) {
				t.Fatalf("no %q in %s, %v", old, text, err)
			}
			if err := os.WriteFile(base+ending, []byte(strings.Replace(string(text), old, new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	tests := []struct {
		name   string
		damage func(t *testing.T, base string)
		want   string
	}{
		{"readable by others", func(t *testing.T, base string) { os.Chmod(base+privateFile, 0o640) }, ".private has mode 0640, so others can read the private key: run chmod 600"},
		{"no private half", func(t *testing.T, base string) { os.Remove(base + privateFile) }, "has no .private file beside it: copy it too, or remove the key"},
		{"no public half", func(t *testing.T, base string) { os.Remove(base + publicFile) }, "has no .key file beside it: copy it too, or remove the key"},
		{"halves of two keys", func(t *testing.T, base string) {
			other := write(t, t.TempDir(), 257, dnssec.ED25519)
			text, _ := os.ReadFile(other.File + privateFile)
			os.WriteFile(base+privateFile, text, 0o600)
		}, ".private: the private half does not belong to the public half"},
		{"another zone", edit(publicFile, "\nexample.com.", "\nexample.org."), ".key: a key of zone example.org., and the name of the file says example.com."},
		{"another tag", func(t *testing.T, base string) {
			for _, ending := range []string{publicFile, privateFile, stateFile} {
				os.Rename(base+ending, filepath.Dir(base)+"/Kexample.com.+015+00000"+ending)
			}
		}, "its file should be named Kexample.com.+015+"},
		{"another algorithm", edit(privateFile, "Algorithm: 15", "Algorithm: 13"), `.private: algorithm "13 (ED25519)", and the .key file has 15`},
		{"an unknown algorithm", func(t *testing.T, base string) {
			edit(publicFile, " 3 15 ", " 3 8 ")(t, base)
			edit(privateFile, "Algorithm: 15 (ED25519)", "Algorithm: 8")(t, base)
		}, "algorithm 8 is not supported, want 13 (ecdsap256sha256) or 15 (ed25519)"},
		{"a bad time", edit(privateFile, "Publish: 2026", "Publish: x026"), `.private: Publish: "x0260102030405" is not a time like 20060102150405`},
		{"a short key", edit(privateFile, "PrivateKey: ", "PrivateKey: AAAA"), ".private: PrivateKey has 35 octets, want 32"},
		{"no line", edit(privateFile, "PrivateKey: ", "PrivateKey "), `is not NAME: VALUE`},
		{"no record", edit(publicFile, "example.com. 60 IN", ";"), ".key: it has no DNSKEY record"},
		{"a host key", edit(publicFile, "DNSKEY 257", "DNSKEY 1"), ".key: flags 1 are not those of a zone key, want 256 or 257"},
		{"a half of another file", rename(privateFile, privateFile), "beside it"},
		{"a folder in its place", func(t *testing.T, base string) {
			os.Remove(base + stateFile)
			os.MkdirAll(base+privateFile+"x", 0o700)
			os.Remove(base + privateFile)
			os.Symlink("/dev/zero", base+privateFile)
		}, ".private is not a regular file"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			path := t.TempDir()
			k := write(t, path, 257, dnssec.ED25519)
			test.damage(t, k.File)
			_, err := open(t, path).Keys(zoneName)
			if err == nil || !strings.HasPrefix(err.Error(), path) || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error %v, want the path and %q", err, test.want)
			}
		})
	}
}

func TestFolderOfEveryUserIsRefused(t *testing.T) {
	path := t.TempDir()
	if err := os.Chmod(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(path); err == nil || !strings.Contains(err.Error(), "run chmod 700") {
		t.Errorf("error %v", err)
	}
}

func TestFailedWriteLeavesTheOldFiles(t *testing.T) {
	path := t.TempDir()
	k := write(t, path, 257, dnssec.ED25519)
	before, err := os.ReadFile(k.File + privateFile)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(k.File+publicFile+next+"/full", 0o700); err != nil { // the last of the three cannot be written
		t.Fatal(err)
	}
	changed := k.clone()
	changed.Delete = k.Publish.Add(time.Hour)
	if err := open(t, path).Write(changed); err == nil || !strings.Contains(err.Error(), "cannot be written") {
		t.Errorf("error %v", err)
	}
	after, err := os.ReadFile(k.File + privateFile)
	if err != nil || !bytes.Equal(before, after) {
		t.Errorf("the private file changed: %s, %v", after, err)
	}
	if _, err := os.Stat(k.File + privateFile + next); err == nil {
		t.Error("a half-written set of files is left")
	}
}

func TestFileNamesAreThoseOfBIND(t *testing.T) {
	for zone, want := range map[string]string{
		"example.com.": "Kexample.com.+013+00042", ".": "K.+013+00042", "0/25.2.0.192.in-addr.arpa.": "K0%2F25.2.0.192.in-addr.arpa.+013+00042",
	} {
		if got := baseName(mustName(t, zone), 13, 42); got != want {
			t.Errorf("%s: %s, want %s", zone, got, want)
		}
	}
}

// program runs a program of BIND or ldns.
func program(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("SKIPPED: %s is not installed (Debian: bind9-utils, ldnsutils)", name)
	}
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

func TestKeysOfBINDAreRead(t *testing.T) {
	path := t.TempDir()
	program(t, "dnssec-keygen", "-q", "-K", path, "-a", "13", "-f", "KSK", "-P", "20260101000000", "-A", "20260102000000", "-I", "20260103000000", "-D", "20260104000000", "-P", "sync", "20260105000000", "example.com")
	program(t, "dnssec-keygen", "-q", "-K", path, "-a", "ED25519", "-L", "300", "example.com")
	program(t, "dnssec-keygen", "-q", "-K", path, "-k", "default", "example.com")
	got, err := open(t, path).Keys(zoneName)
	if err != nil || len(got) != 3 {
		t.Fatalf("%d keys, %v", len(got), err)
	}
	at := func(day int) time.Time { return time.Date(2026, 1, day, 0, 0, 0, 0, time.UTC) }
	for _, k := range got {
		if k.SEP() && !k.Delete.IsZero() && (k.Publish != at(1) || k.Activate != at(2) || k.Inactive != at(3) || k.Delete != at(4) || k.SyncPublish != at(5)) {
			t.Errorf("times %+v", k.Times)
		}
		if k.SEP() {
			sameDS(t, k, program(t, "dnssec-dsfromkey", "-2", k.File+publicFile))
			sameDS(t, k, program(t, "ldns-key2ds", "-n", "-2", k.File+publicFile))
		}
	}
}

// sameDS compares the DS record of a key with one in text form.
func sameDS(t *testing.T, k *Key, text string) {
	t.Helper()
	want := fmt.Sprintf("%d %d 2 %X", k.Tag, k.Algorithm, k.DS(dnssec.SHA256)[4:])
	if got := strings.Join(strings.Fields(strings.ToUpper(text)), " "); !strings.HasSuffix(strings.ReplaceAll(got, " ", ""), strings.ReplaceAll(want, " ", "")) {
		t.Errorf("DS %s, want %s", got, want)
	}
}

func TestBINDReadsAndChangesOurKeys(t *testing.T) {
	path := t.TempDir()
	k := write(t, path, 257, dnssec.ECDSAP256SHA256)
	shown := program(t, "dnssec-settime", "-p", "all", "-u", k.File+publicFile)
	for _, want := range []string{"Publish: 1767323045", "Activate: 1767326645", "SYNC Publish: 1767330245", "Delete: UNSET"} {
		if !strings.Contains(shown, want) {
			t.Errorf("dnssec-settime shows\n%swant %s", shown, want)
		}
	}
	program(t, "dnssec-settime", "-s", "-I", "20270101000000", "-D", "20270201000000", "-g", "HIDDEN", "-k", "OMNIPRESENT", "now", k.File+publicFile)
	got, err := open(t, path).Keys(zoneName)
	if err != nil || len(got) != 1 {
		t.Fatalf("%d keys, %v", len(got), err)
	}
	if want := time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC); got[0].Delete != want || got[0].DSPublish != k.DSPublish {
		t.Errorf("times %+v, want the end at %s, and what is known of the DS", got[0].Times, want)
	}
	got[0].SyncDelete = got[0].Delete
	if err := open(t, path).Write(got[0]); err != nil {
		t.Fatal(err)
	}
	state, err := os.ReadFile(k.File + stateFile)
	if err != nil || !strings.Contains(string(state), "DNSKEYState: omnipresent") || !strings.Contains(string(state), "DeleteCDS: 20270201000000") {
		t.Errorf("state %s, %v: want the lines of BIND and ours", state, err)
	}
}
