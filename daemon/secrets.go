package daemon

import "time"

// secretInterval is the time between two looks at the files of secrets.
const secretInterval = 10 * time.Second

// secretKeeper reads the secrets of cookies and TSIG keys again. The goroutine of serve uses it.
type secretKeeper struct {
	ticker      *time.Ticker
	failure     string // the last error of cookies, which is logged once
	tsigFailure string // that of TSIG keys
}

func newSecretKeeper() *secretKeeper { return &secretKeeper{ticker: time.NewTicker(secretInterval)} }

// updateSecrets uses what the files of secrets say now. An error keeps the secrets in use.
func (l *instance) updateSecrets(k *secretKeeper) {
	l.updateCookies(k)
	l.updateTSIG(k)
}

func (l *instance) updateTSIG(k *secretKeeper) {
	changed, err := l.served().TSIG.Update()
	for _, file := range changed {
		l.Logger.Info("secret of a TSIG key read again", "file", file)
	}
	failure := ""
	if err != nil {
		failure = err.Error()
	}
	if failure != "" && failure != k.tsigFailure {
		l.Logger.Error("cannot read the secret of a TSIG key again; the previous one stays", "error", err,
			"hint", "write the secret in base64, readable by the server only")
	}
	k.tsigFailure = failure
}

func (l *instance) updateCookies(k *secretKeeper) {
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
