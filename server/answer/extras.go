package answer

// extras holds the options of an answer that are left out if they do not fit. Both paths append them to the OPT record
// by the same code, after the options that have room reserved.
type extras struct {
	ede uint16 // the extended error of an answer without data (RFC 8914); 0: none
}

// append appends the options that fit in room octets.
func (x *extras) append(out []byte, room int) []byte {
	if x.ede != 0 && room >= optionHead+2 {
		out = append(out, 0, optionEDE, 0, 2, byte(x.ede>>8), byte(x.ede))
	}
	return out
}

// extendOPT appends the options to the OPT record that ends out, of size octets.
func (x *extras) extendOPT(out []byte, size, room int) []byte {
	length := len(out) - size + optFixed - 2
	out = x.append(out, room)
	n := len(out) - length - 2
	out[length], out[length+1] = byte(n>>8), byte(n)
	return out
}
