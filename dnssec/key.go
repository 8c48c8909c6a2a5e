package dnssec

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"

	"meridian/dnsname"
)

// The algorithms of keys (RFC 8624 3.1).
const (
	ECDSAP256SHA256 uint8 = 13 // RFC 6605
	ED25519         uint8 = 15 // RFC 8080
)

// The flags of a key (RFC 4034 2.1.1, RFC 5011 3).
const (
	ZoneKey uint16 = 0x0100 // set in every key that signs
	Revoked uint16 = 0x0080
	SEP     uint16 = 0x0001 // secure entry point: a KSK or CSK
)

// The digest types of a DS record (RFC 8624 3.3).
const (
	SHA256 uint8 = 2
	SHA384 uint8 = 4
)

const (
	fieldSize     = 32 // octets of a coordinate and of r and s, algorithm 13
	keyHeader     = 4  // octets of DNSKEY RDATA before the public key: flags, protocol, algorithm
	protocolField = 3  // RFC 4034 2.1.2
)

// Key is one DNSSEC key with its private half. It does not change after NewKey; any goroutine may use it.
type Key struct {
	Zone      dnsname.Name // the owner
	Flags     uint16       // ZoneKey, for a KSK or CSK with SEP
	Algorithm uint8
	Tag       uint16
	PublicKey []byte // as in DNSKEY RDATA (RFC 4034 2.1.4)

	private crypto.Signer
}

// NewKey returns the key of a zone with this private half: an *ecdsa.PrivateKey on P-256 for ECDSAP256SHA256, an
// ed25519.PrivateKey for ED25519.
func NewKey(zone dnsname.Name, flags uint16, algorithm uint8, private crypto.Signer) (*Key, error) {
	public, err := publicKey(algorithm, private)
	if err != nil {
		return nil, err
	}
	if flags&ZoneKey == 0 {
		return nil, fmt.Errorf("flags %d are not those of a zone key, want 256 or 257", flags)
	}
	k := &Key{Zone: zone, Flags: flags, Algorithm: algorithm, PublicKey: public, private: private}
	k.Tag = Tag(k.DNSKEY())
	return k, nil
}

// Generate makes a key with a new private half.
func Generate(zone dnsname.Name, flags uint16, algorithm uint8) (*Key, error) {
	var private crypto.Signer
	var err error
	switch algorithm {
	case ECDSAP256SHA256:
		private, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ED25519:
		_, private, err = ed25519.GenerateKey(rand.Reader)
	default:
		err = unknownAlgorithm(algorithm)
	}
	if err != nil {
		return nil, err
	}
	return NewKey(zone, flags, algorithm, private)
}

func unknownAlgorithm(algorithm uint8) error {
	return fmt.Errorf("algorithm %d is not supported, want 13 (ecdsap256sha256) or 15 (ed25519)", algorithm)
}

// publicKey returns the public half as in DNSKEY RDATA.
func publicKey(algorithm uint8, private crypto.Signer) ([]byte, error) {
	switch algorithm {
	case ECDSAP256SHA256:
		k, ok := private.(*ecdsa.PrivateKey)
		if !ok || k.Curve != elliptic.P256() {
			return nil, errors.New("the private half is not a key on P-256, which algorithm 13 needs")
		}
		point, err := k.PublicKey.Bytes()
		if err != nil {
			return nil, err
		}
		return point[1:], nil // without the octet that says uncompressed
	case ED25519:
		k, ok := private.(ed25519.PrivateKey)
		if !ok || len(k) != ed25519.PrivateKeySize {
			return nil, errors.New("the private half is not an Ed25519 key, which algorithm 15 needs")
		}
		return append([]byte(nil), k[ed25519.SeedSize:]...), nil
	}
	return nil, unknownAlgorithm(algorithm)
}

// Private returns the private half, for writing it to a file.
func (k *Key) Private() crypto.Signer { return k.private }

// DNSKEY returns the RDATA of the key's DNSKEY record (RFC 4034 2.1); a CDNSKEY record has the same.
func (k *Key) DNSKEY() []byte {
	rdata := make([]byte, 0, keyHeader+len(k.PublicKey))
	rdata = binary.BigEndian.AppendUint16(rdata, k.Flags)
	rdata = append(rdata, protocolField, k.Algorithm)
	return append(rdata, k.PublicKey...)
}

// DS returns the RDATA of a DS record of the key (RFC 4034 5.1), or nil for a digest type other than SHA256 and SHA384.
func (k *Key) DS(digestType uint8) []byte {
	return DS(k.Zone, k.DNSKEY(), digestType)
}

// DS returns the RDATA of a DS record for a DNSKEY of a zone, which need not be a key of this server. It returns nil
// for a digest type other than SHA256 and SHA384, and for RDATA that is too short for a DNSKEY.
func DS(zone dnsname.Name, dnskey []byte, digestType uint8) []byte {
	if len(dnskey) < keyHeader {
		return nil
	}
	rdata := binary.BigEndian.AppendUint16(nil, Tag(dnskey))
	rdata = append(rdata, dnskey[keyHeader-1], digestType)
	digested := append(append([]byte(nil), zone.Wire()...), dnskey...)
	switch digestType {
	case SHA256:
		digest := sha256.Sum256(digested)
		return append(rdata, digest[:]...)
	case SHA384:
		digest := sha512.Sum384(digested)
		return append(rdata, digest[:]...)
	}
	return nil
}

// Tag returns the key tag of DNSKEY RDATA (RFC 4034 appendix B).
func Tag(dnskey []byte) uint16 {
	var sum uint32
	for i, octet := range dnskey {
		if i%2 == 0 {
			sum += uint32(octet) << 8
		} else {
			sum += uint32(octet)
		}
	}
	return uint16(sum + sum>>16)
}

// Sign appends the signature of message to dst, as in RRSIG RDATA. It is deterministic (RFC 6979, RFC 8032): each
// holder of the key makes the same signature.
func (k *Key) Sign(dst, message []byte) ([]byte, error) {
	if k.Algorithm == ED25519 {
		signature, err := k.private.Sign(nil, message, crypto.Hash(0))
		return append(dst, signature...), err
	}
	digest := sha256.Sum256(message)
	der, err := k.private.Sign(nil, digest[:], crypto.SHA256)
	if err != nil {
		return dst, err
	}
	return appendFixedWidth(dst, der)
}

// appendFixedWidth appends r and s of an ECDSA signature in DER, each in fieldSize octets (RFC 6605 4).
func appendFixedWidth(dst, der []byte) ([]byte, error) {
	const sequence, integer = 0x30, 0x02
	body, rest, ok := cutDER(der, sequence)
	r, body, okR := cutDER(body, integer)
	s, body, okS := cutDER(body, integer)
	if !ok || !okR || !okS || len(rest) > 0 || len(body) > 0 {
		return dst, errors.New("the private key made a signature that is not an ECDSA signature")
	}
	for _, number := range [][]byte{r, s} {
		for len(number) > 0 && number[0] == 0 {
			number = number[1:]
		}
		if len(number) > fieldSize {
			return dst, errors.New("the private key made an ECDSA signature that is too long for P-256")
		}
		dst = append(dst, make([]byte, fieldSize-len(number))...)
		dst = append(dst, number...)
	}
	return dst, nil
}

// cutDER takes an element of less than 128 octets with this tag from the beginning of der.
func cutDER(der []byte, tag byte) (content, rest []byte, ok bool) {
	if len(der) < 2 || der[0] != tag || der[1] >= 0x80 || len(der)-2 < int(der[1]) {
		return nil, nil, false
	}
	end := 2 + int(der[1])
	return der[2:end], der[end:], true
}

// AlgorithmName returns the name of an algorithm as in a policy, or its number.
func AlgorithmName(algorithm uint8) string {
	switch algorithm {
	case ECDSAP256SHA256:
		return "ecdsap256sha256"
	case ED25519:
		return "ed25519"
	}
	return strconv.Itoa(int(algorithm))
}
