package probe

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hashicorp/go-multierror"

	"meridian/certs"
	"meridian/config"
)

func TestPrepareReportsAllErrorsInFileOrder(t *testing.T) {
	a := newAuthority(t)
	cert, key := files(t, a.issue(t, nil))
	_, otherKey := files(t, a.issue(t, nil))
	dir := filepath.Dir(a.file)
	garbage := writeFile(t, "garbage.pem", "no PEM here\n")
	broken := writeFile(t, "broken.pem", pemOf("CERTIFICATE", []byte("not DER")))
	empty := writeFile(t, "empty.pem", "")
	huge := filepath.Join(t.TempDir(), "huge.pem")
	if err := errors.Join(os.WriteFile(huge, nil, 0o600), os.Truncate(huge, certs.MaxSize+1)); err != nil {
		t.Fatal(err)
	}
	tlsOf := func(name string, line uint32, files config.CheckTLS) config.Check {
		files.CAPos, files.CertPos = config.Pos{Line: line, Column: 9}, config.Pos{Line: line + 1, Column: 11}
		return config.Check{Name: name, Type: config.HTTPS, Path: "/", Pos: config.Pos{Line: line - 1, Column: 3}, TLS: files}
	}
	cfg := &config.Config{File: "m.yaml", Checks: []config.Check{
		tlsOf("huge", 90, config.CheckTLS{CA: huge}),
		tlsOf("good", 10, config.CheckTLS{CA: a.file, Cert: cert, Key: key}),
		tlsOf("missing", 20, config.CheckTLS{CA: dir + "/none", Cert: dir + "/none", Key: key}),
		tlsOf("folder", 30, config.CheckTLS{CA: dir}),
		tlsOf("garbage", 40, config.CheckTLS{CA: garbage}),
		tlsOf("broken", 50, config.CheckTLS{CA: broken}),
		tlsOf("empty", 60, config.CheckTLS{CA: empty}),
		tlsOf("swapped", 70, config.CheckTLS{CA: key, Cert: cert, Key: otherKey}),
		{Name: "odd", Type: config.HTTP, Path: "healthz", Pos: config.Pos{Line: 80, Column: 3}},
		{Name: "strange", Type: "carrier-pigeon", Pos: config.Pos{Line: 85, Column: 3}},
	}}
	got := strings.ReplaceAll(strings.ReplaceAll(errorLines(t, Verify(cfg)), dir, "DIR"), key, "KEY")
	for path, name := range map[string]string{garbage: "GARBAGE", broken: "BROKEN", empty: "EMPTY", huge: "HUGE", cert: "CERT", otherKey: "OTHER"} {
		got = strings.ReplaceAll(got, path, name)
	}
	want := `m.yaml:20:9: checks.missing.tls.ca: cannot read "DIR/none": no such file or directory; a PEM file of the authorities to trust
m.yaml:21:11: checks.missing.tls.cert: cannot read "DIR/none": no such file or directory; a PEM file of the client certificate, followed by its chain
m.yaml:30:9: checks.folder.tls.ca: "DIR" is not a regular file; a PEM file of the authorities to trust
m.yaml:40:9: checks.garbage.tls.ca: "GARBAGE": no PEM certificate in the file; PEM certificates of the authorities to trust
m.yaml:50:9: checks.broken.tls.ca: "BROKEN": certificate 1: x509: malformed certificate; PEM certificates of the authorities to trust
m.yaml:60:9: checks.empty.tls.ca: "EMPTY": no PEM certificate in the file; PEM certificates of the authorities to trust
m.yaml:70:9: checks.swapped.tls.ca: "KEY": PEM block 1 is a "PRIVATE KEY", want a CERTIFICATE; PEM certificates of the authorities to trust
m.yaml:71:11: checks.swapped.tls.cert: "CERT" with key "OTHER": tls: private key does not match public key; a certificate and its key, in PEM
m.yaml:80:3: checks.odd.path: "healthz" is not a path; a path such as /healthz?full=1
m.yaml:85:3: checks.strange.type: no check of type "carrier-pigeon"; http, https, tcp, tls, grpc, dns, icmp, exec, push, all, any, at_least or invert
m.yaml:90:9: checks.huge.tls.ca: "HUGE" is larger than 4 MiB; a PEM file of the authorities to trust`
	if got != want {
		t.Errorf("errors:\n%s\nwant:\n%s", got, want)
	}
}

// errorLines returns one line for each error in err.
func errorLines(t *testing.T, err error) string {
	t.Helper()
	var all *multierror.Error
	if !errors.As(err, &all) {
		t.Fatalf("%v is not a multierror", err)
	}
	var lines []string
	for _, e := range all.Errors {
		var f config.Error
		if !errors.As(e, &f) {
			t.Errorf("%v is not a config.Error", e)
		}
		lines = append(lines, e.Error())
	}
	return strings.Join(lines, "\n")
}

func TestPrepareAcceptsGoodChecks(t *testing.T) {
	good := config.Check{Name: "web", Type: config.HTTP, Path: "/?a=b"}
	if err := Verify(&config.Config{Checks: []config.Check{good, *tcpCheck()}}); err != nil {
		t.Error(err)
	}
}

func TestFileContentsAreDigested(t *testing.T) {
	a, b := newAuthority(t), newAuthority(t)
	check := tcpCheck()
	check.TLS.CA = a.file
	before, _ := New(check)
	same, _ := New(check)
	data, err := os.ReadFile(b.file)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(a.file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	after, _ := New(check)
	if before.Files != same.Files || before.Files == after.Files {
		t.Error("the digest does not follow the contents")
	}
}

func TestVerifyReportsErrorsFileByFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"a.yaml": "\n\n\nchecks: {a: {type: https, path: /, tls: {ca: none.pem}}}\npools: {a: {policy: weighted, check: a, members: [{name: a, addresses: [192.0.2.1]}]}}\n",
		"b.yaml": "checks: {b: {type: https, path: /, tls: {ca: none.pem}}}\npools: {b: {policy: weighted, check: b, members: [{name: b, addresses: [192.0.2.1]}]}}\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cfg, _, err := config.Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(errorLines(t, Verify(cfg)), "\n")
	if len(got) != 2 || !strings.HasPrefix(got[0], filepath.Join(dir, "a.yaml:4:")) || !strings.HasPrefix(got[1], filepath.Join(dir, "b.yaml:1:")) {
		t.Errorf("errors in the order %q, want that of the files", got)
	}
}
