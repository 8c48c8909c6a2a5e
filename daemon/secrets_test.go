package daemon

import (
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"meridian/control"
	"meridian/server/limit"
	"meridian/snapshot"
	"meridian/transfer/tsig"
)

func TestSecretsOfCookiesAreReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cookie.secrets")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := strings.Repeat("0123456789abcdef", 2) + "\n"
	write(one)
	cookies, err := limit.OpenCookies(file)
	if err != nil {
		t.Fatal(err)
	}
	var log lines
	l := &instance{
		Daemon:  &Daemon{Logger: slog.New(slog.NewTextHandler(&log, nil))},
		current: &generation{Generation: control.Generation{Snapshot: &snapshot.Snapshot{Cookies: cookies}}},
	}
	keeper := newSecretKeeper()
	defer keeper.ticker.Stop()
	const failed, again = "cannot read the secrets of cookies again; the previous ones stay", "secrets of cookies read again"
	for _, step := range []struct {
		content                 string
		secrets, failed, logged int
	}{
		{one, 1, 0, 0},
		{one + one, 2, 0, 1},
		{"broken", 2, 1, 1},
		{"broken", 2, 1, 1},
		{"", 2, 2, 1},
		{one + one, 2, 2, 2},
		{one + one, 2, 2, 2},
	} {
		write(step.content)
		l.updateSecrets(keeper)
		if cookies.Secrets() != step.secrets || len(log.with(failed)) != step.failed || len(log.with(again)) != step.logged ||
			(cookies.Failure() != "") != (step.content == "broken" || step.content == "") {
			t.Errorf("after %q: %d secrets, log %s; want %+v", step.content, cookies.Secrets(), log.text.String(), step)
		}
	}
}

func TestSecretsOfTSIGKeysAreReadAgain(t *testing.T) {
	file := filepath.Join(t.TempDir(), "xfr.key")
	write := func(content string) {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("b25lIHNlY3JldA==")
	keys := new(tsig.Keyring)
	if err := keys.Add("xfr.", tsig.DefaultAlgorithm, file); err != nil {
		t.Fatal(err)
	}
	var log lines
	l := &instance{
		Daemon:  &Daemon{Logger: slog.New(slog.NewTextHandler(&log, nil))},
		current: &generation{Generation: control.Generation{Snapshot: &snapshot.Snapshot{TSIG: keys}}},
	}
	keeper := newSecretKeeper()
	defer keeper.ticker.Stop()
	for _, step := range []struct {
		content        string
		failed, logged int
	}{{"b25lIHNlY3JldA==", 0, 0}, {"dHdvIHNlY3JldHM=", 0, 1}, {"broken!", 1, 1}, {"broken!", 1, 1}, {"b25lIHNlY3JldA==", 1, 2}} {
		write(step.content)
		l.updateSecrets(keeper)
		failed, again := len(log.with("cannot read the secret of a TSIG key again; the previous one stays")), len(log.with("secret of a TSIG key read again"))
		if failed != step.failed || again != step.logged {
			t.Errorf("after %q: %d errors, read again %d times; want %+v", step.content, failed, again, step)
		}
	}
}
