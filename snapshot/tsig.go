package snapshot

import (
	"meridian/config"
	"meridian/errtext"
	"meridian/transfer/tsig"
	"meridian/zones"
)

// openTSIG reads the secrets of TSIG keys. It returns nil if there are none, and adds errors to report.
func openTSIG(cfg *config.Config, report *zones.Report) *tsig.Keyring {
	if len(cfg.TSIG) == 0 {
		return nil
	}
	keys := new(tsig.Keyring)
	for i := range cfg.TSIG {
		k := &cfg.TSIG[i]
		if err := keys.Add(k.Name, k.Algorithm, k.SecretFile); err != nil {
			report.AddError(cfg.ErrorAt(k.SecretFilePos, "tsig."+trimDot(string(k.Name))+".secret_file", err.Error(),
				errtext.Hint(err, "write the secret in base64 into it, such as openssl rand -base64 32 prints")))
		}
	}
	return keys
}
