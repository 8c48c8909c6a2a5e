package keys

import (
	"fmt"
	"strconv"
	"strings"

	"meridian/dnsname"
)

// baseName returns the name of a key's files without the ending.
func baseName(zone dnsname.Name, algorithm uint8, tag uint16) string {
	return fmt.Sprintf("K%s+%03d+%05d", encodeName(zone), algorithm, tag)
}

// encodeName writes a zone's name as BIND does in file names: octets other than letters, digits, - and _ are %XX.
func encodeName(zone dnsname.Name) string {
	var b strings.Builder
	wire := zone.Wire()
	for len(wire) > 1 {
		size := int(wire[0])
		for _, c := range wire[1 : 1+size] {
			if plainOctet(c) {
				b.WriteByte(c)
			} else {
				fmt.Fprintf(&b, "%%%02X", c)
			}
		}
		b.WriteByte('.')
		wire = wire[1+size:]
	}
	if b.Len() == 0 {
		return "."
	}
	return b.String()
}

func plainOctet(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// folderName returns the folder of a zone's keys.
func folderName(zone dnsname.Name) string {
	if zone == "." {
		return "@"
	}
	return strings.TrimSuffix(encodeName(zone), ".")
}

// parseName splits the name of a file into the encoded zone, the algorithm and tag, and the ending. It returns false if
// the file is not one of a key.
func parseName(file string) (zone string, algorithm, tag int, ending string, ok bool) {
	for _, e := range []string{publicFile, privateFile, stateFile} {
		if strings.HasSuffix(file, e) {
			ending = e
		}
	}
	parts := strings.Split(strings.TrimSuffix(file, ending), "+")
	if ending == "" || len(parts) != 3 || !strings.HasPrefix(parts[0], "K") || !strings.HasSuffix(parts[0], ".") {
		return "", 0, 0, "", false
	}
	algorithm, err1 := strconv.Atoi(parts[1])
	tag, err2 := strconv.Atoi(parts[2])
	ok = err1 == nil && err2 == nil && len(parts[1]) == 3 && len(parts[2]) == 5
	return strings.ToLower(parts[0][1:]), algorithm, tag, ending, ok
}
