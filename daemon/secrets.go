package daemon

import "time"

// secretInterval is the time between two looks at the files of secrets.
const secretInterval = 10 * time.Second

// secretKeeper reads the secrets of cookies again. The goroutine of serve uses it.
type secretKeeper struct {
	ticker  *time.Ticker
	failure string // the last error, which is logged once
}

func newSecretKeeper() *secretKeeper { return &secretKeeper{ticker: time.NewTicker(secretInterval)} }

// updateSecrets uses what the file of secrets says now. An error keeps the secrets in use.
func (l *instance) updateSecrets(k *secretKeeper) {
	cookies := l.served().Cookies
	if cookies == nil {
		k.failure = ""
		return
	}
	changed, err := cookies.Update()
	switch {
	case err != nil && err.Error() != k.failure:
		l.Logger.Error("cannot read the secrets of cookies again; the previous ones stay", "file", cookies.File(), "error", err,
			"hint", "write one secret of 32 hexadecimal digits a line, readable by the server only")
	case err == nil && (changed || k.failure != ""):
		l.Logger.Info("secrets of cookies read again", "file", cookies.File(), "secrets", cookies.Secrets())
	}
	k.failure = ""
	if err != nil {
		k.failure = err.Error()
	}
}
