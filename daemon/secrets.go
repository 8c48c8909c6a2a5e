package daemon

import (
	"log/slog"
	"time"

	"meridian/snapshot"
)

// secretInterval is the time between two looks at the files of secrets and certificates.
const secretInterval = 10 * time.Second

// secretKeeper reads the secrets of cookies and TSIG keys, and the certificates of encrypted transports, again. The
// goroutine of serve uses it.
type secretKeeper struct {
	ticker       *time.Ticker
	cookies      failureLog
	tsig         failureLog
	certificates failureLog
}

// failureLog holds the last error of files that are read again, which is logged once.
type failureLog string

func newSecretKeeper() *secretKeeper { return &secretKeeper{ticker: time.NewTicker(secretInterval)} }

// updateSecrets uses what the files say now. An error keeps what is in use.
func (l *instance) updateSecrets(k *secretKeeper) {
	s := l.served()
	k.cookies.updateCookies(l.Logger, s)
	k.tsig.updateTSIG(l.Logger, s)
	k.certificates.updateCertificates(l.Logger, s)
}

func (f *failureLog) updateCookies(log *slog.Logger, s *snapshot.Snapshot) {
	cookies := s.Cookies
	if cookies == nil {
		*f = ""
		return
	}
	changed, err := cookies.Update()
	switch isNew, ended := f.set(err); {
	case isNew:
		log.Error("cannot read the secrets of cookies again; the previous ones stay", "file", cookies.File(), "error", err,
			"hint", "write one secret of 32 hexadecimal digits a line, readable by the server only")
	case changed || ended:
		log.Info("secrets of cookies read again", "file", cookies.File(), "secrets", cookies.Secrets())
	}
}

func (f *failureLog) updateTSIG(log *slog.Logger, s *snapshot.Snapshot) {
	changed, err := s.TSIG.Update()
	for _, file := range changed {
		log.Info("secret of a TSIG key read again", "file", file)
	}
	if isNew, _ := f.set(err); isNew {
		log.Error("cannot read the secret of a TSIG key again; the previous one stays", "error", err,
			"hint", "write the secret in base64, readable by the server only")
	}
}

func (f *failureLog) updateCertificates(log *slog.Logger, s *snapshot.Snapshot) {
	store := s.Certificates
	if store == nil {
		*f = ""
		return
	}
	changed, err := store.Update()
	switch isNew, ended := f.set(err); {
	case isNew:
		log.Error("cannot read a certificate again; the previous one stays", "error", err,
			"hint", "write each certificate and its key as one pair; both are read again every 10 seconds")
	case changed || ended:
		log.Info("certificates read again", "certificates", len(store.Pairs()), "expires", store.Expires())
	}
}

// set notes the result of reading files again. It reports whether err was not there before, and whether an earlier error
// has ended.
func (f *failureLog) set(err error) (isNew, ended bool) {
	before := *f
	*f = ""
	if err != nil {
		*f = failureLog(err.Error())
	}
	return err != nil && *f != before, err == nil && before != ""
}
