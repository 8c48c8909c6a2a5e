package control

import (
	"time"

	"meridian/server/answer"
)

// EncryptedStatus is the status of the encrypted transports.
type EncryptedStatus struct {
	Listen       []TransportStatus   `json:"listen"`
	Certificates []CertificateStatus `json:"certificates"`
	Error        string              `json:"error,omitempty"` // why the files of certificates cannot be read again; those in use stay
}

// TransportStatus is an address of an encrypted transport.
type TransportStatus struct {
	Transport string `json:"transport"`
	Address   string `json:"address"`
}

// CertificateStatus is the status of a certificate in use.
type CertificateStatus struct {
	Cert      string    `json:"cert"`  // its file
	Names     []string  `json:"names"` // that clients may ask for
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
}

// encryptedStatus returns the status of the encrypted transports; nil: there are none.
func (c *Control) encryptedStatus(at *view) *EncryptedStatus {
	store := at.Snapshot.Certificates
	if store == nil {
		return nil
	}
	s := &EncryptedStatus{Listen: []TransportStatus{}, Error: store.Failure()}
	bound := c.server.EncryptedAddrs()
	for _, transport := range answer.Transports() {
		for _, a := range bound[transport] {
			s.Listen = append(s.Listen, TransportStatus{transport.String(), a.String()})
		}
	}
	for i, cert := range store.Current().Certificates {
		names := append([]string{}, cert.Leaf.DNSNames...)
		for _, ip := range cert.Leaf.IPAddresses {
			names = append(names, ip.String())
		}
		s.Certificates = append(s.Certificates, CertificateStatus{store.Pairs()[i].Cert, names, cert.Leaf.NotBefore, cert.Leaf.NotAfter})
	}
	return s
}
