package snapshot

import (
	"crypto/x509"
	"errors"
	"fmt"
	"strconv"
	"time"

	"meridian/certs"
	"meridian/config"
	"meridian/errtext"
	"meridian/zones"
)

// openCertificates reads the certificates of the encrypted transports. It returns nil if there are none, and adds errors
// and warnings to report.
func openCertificates(cfg *config.Config, report *zones.Report) *certs.Store {
	from := &cfg.Server.TLS
	if !cfg.Server.Encrypts() || len(from.Certificates) == 0 {
		return nil
	}
	var pairs []certs.Pair
	for _, c := range from.Certificates {
		pairs = append(pairs, certs.Pair{Cert: c.Cert, Key: c.Key})
	}
	store, err := certs.Open(pairs, from.TicketSecretFile)
	if err != nil {
		for _, err := range certificateErrors(cfg, err) {
			report.AddError(err)
		}
		return nil
	}
	for i, cert := range store.Current().Certificates {
		for _, problem := range problemsOf(cert.Leaf, from.Certificates[i].Key) {
			report.AddWarnings(cfg.ErrorAt(from.Certificates[i].Pos, certificatePath(i), problem, ""))
		}
	}
	return store
}

func certificatePath(i int) string { return "server.tls.certificates[" + strconv.Itoa(i) + "]" }

// certificateErrors returns the errors of certs.Open with their places in the configuration.
func certificateErrors(cfg *config.Config, err error) (all []config.Error) {
	failed, _ := errors.AsType[certs.PairErrors](err)
	for _, one := range failed {
		all = append(all, certificateError(cfg, one))
	}
	return all
}

func certificateError(cfg *config.Config, err *certs.PairError) config.Error {
	from := &cfg.Server.TLS
	if i := err.Pair; i >= 0 {
		return cfg.ErrorAt(from.Certificates[i].Pos, certificatePath(i), err.Error(), "write the paths of a certificate and of its key, in PEM")
	}
	return cfg.ErrorAt(from.TicketSecretPos, "server.tls.ticket_secret_file", err.Error(),
		errtext.Hint(err, "write one secret of 64 hexadecimal digits a line into it, such as openssl rand -hex 32 prints"))
}

// problemsOf returns what clients or operators will not like about a certificate and the file of its key.
func problemsOf(leaf *x509.Certificate, key string) (problems []string) {
	now := time.Now()
	switch {
	case now.After(leaf.NotAfter):
		problems = append(problems, fmt.Sprintf("the certificate expired on %s: clients that verify it refuse the connection", leaf.NotAfter.UTC().Format(time.DateOnly)))
	case now.Before(leaf.NotBefore):
		problems = append(problems, fmt.Sprintf("the certificate is not valid before %s", leaf.NotBefore.UTC().Format(time.DateTime)))
	}
	if certs.ReadableByOthers(key) {
		problems = append(problems, fmt.Sprintf("other users can read the key %s: chmod 600", key))
	}
	return problems
}
