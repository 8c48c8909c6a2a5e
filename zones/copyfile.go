package zones

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"

	"meridian/config"
	"meridian/dnsname"
)

// copyHead begins each file of a copy. Its number changes with the format.
const copyHead = "meridian zone copy 1\n"

// maxCopyFile is the largest file of a copy that is read, in octets: more than any max_size and its head.
const maxCopyFile = 5 << 30

// CopyFolder is the folder of copies in the state directory.
const CopyFolder = "copies"

// CopyFile returns the name of the file of a zone in a state directory. Names of zones may have octets that those of files
// may not, and be longer.
func CopyFile(state string, zone dnsname.Name) string {
	sum := sha256.Sum256([]byte(zone))
	var b strings.Builder
	for _, c := range []byte(strings.TrimSuffix(string(zone), ".")) {
		if b.Len() == 100 {
			break
		}
		if 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '.' && b.Len() > 0 {
			b.WriteByte(c)
		} else {
			b.WriteByte('_')
		}
	}
	return filepath.Join(state, CopyFolder, b.String()+"-"+hex.EncodeToString(sum[:6])+".copy")
}

// Encode returns the content of the file of a copy. When a primary confirmed it is the time of the file, which changes
// without its content.
func (c *Copy) Encode() []byte {
	body := make([]byte, 0, len(c.records)+256)
	body = append(body, copyHead...)
	for _, s := range [...]string{string(c.Zone), c.Primary} {
		body = append(binary.BigEndian.AppendUint16(body, uint16(len(s))), s...)
	}
	return sealed(append(body, c.records...))
}

// sealed appends the checksum.
func sealed(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(body, sum[:]...)
}

// errCopyFile is the error of a file that is no copy, or a damaged one.
var errCopyFile = errors.New("it is not a complete copy of a zone")

// DecodeCopy is the reverse of Encode. It accepts only what a primary could have sent: valid records within the zone.
func DecodeCopy(content []byte, confirmed time.Time) (*Copy, error) {
	body, ok := checkedBody(content)
	if !ok {
		return nil, errCopyFile
	}
	zone, rest, ok1 := cutText(body)
	primary, rest, ok2 := cutText(rest)
	name, err := dnsname.Parse(zone)
	if !ok1 || !ok2 || err != nil {
		return nil, errCopyFile
	}
	var b CopyBuilder
	for at := 0; at < len(rest); {
		rr, next, err := dns.UnpackRR(rest, at)
		if err != nil {
			return nil, errCopyFile
		}
		r, err := b.Pack(rr)
		if err != nil || !bytes.Equal(r.Whole, rest[at:next]) {
			return nil, errCopyFile
		}
		b.Add(r)
		at = next
	}
	return b.Copy(name, primary, confirmed)
}

// checkedBody returns the content between the head and the checksum.
func checkedBody(content []byte) ([]byte, bool) {
	if !bytes.HasPrefix(content, []byte(copyHead)) || len(content) < len(copyHead)+sha256.Size {
		return nil, false
	}
	end := len(content) - sha256.Size
	sum := sha256.Sum256(content[:end])
	return content[len(copyHead):end], bytes.Equal(sum[:], content[end:])
}

func cutText(p []byte) (text string, rest []byte, ok bool) {
	if len(p) < 2 {
		return "", nil, false
	}
	end := 2 + int(binary.BigEndian.Uint16(p))
	if end > len(p) {
		return "", nil, false
	}
	return string(p[2:end]), p[end:], true
}

// ReadCopy reads the copy of a zone from a state directory; nil without an error: there is none.
func ReadCopy(state string, zone dnsname.Name) (*Copy, error) {
	path := CopyFile(state, zone)
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular() || info.Size() > maxCopyFile:
		return nil, fmt.Errorf("%s: %w", path, errCopyFile)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	c, err := DecodeCopy(content, info.ModTime())
	if err == nil && c.Zone != zone {
		err = errCopyFile
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// ReadCopies reads the copies of the zones of a configuration from its state directory, except those that have one already. An unreadable one is a
// warning: its zone has no data until a primary sends it again.
func ReadCopies(cfg *config.Config, have Copies) (Copies, []config.Error) {
	copies := Copies{}
	var warnings []config.Error
	for i := range cfg.Zones {
		z := &cfg.Zones[i]
		if len(z.Primaries) == 0 {
			continue
		}
		c, err := have[z.Name], error(nil)
		if c == nil && cfg.State != "" {
			c, err = ReadCopy(cfg.State, z.Name)
		}
		if err != nil {
			warnings = append(warnings, cfg.ErrorAt(z.Pos, z.Path()+".primaries", "the copy of the zone cannot be read: "+err.Error(), "the zone is answered SERVFAIL until a primary has sent it again"))
		}
		if c != nil {
			copies[z.Name] = c
		}
	}
	return copies, warnings
}
