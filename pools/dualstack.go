package pools

// dualStack decides for both families: it returns the answers of the A and AAAA requests of
// that draw, by one state. The first family that gives anything decides the kind
// of the answer, because a CNAME must be alone:
//
//	IPv4 gives  IPv6 gives  answered
//	an alias    not asked   the alias
//	addresses   addresses   both, IPv4 first
//	addresses   an alias    the IPv4 addresses
//	nothing     anything    the IPv6 answer
func (s *Scratch) dualStack(q Request) Decision {
	q.Family, s.taken = IPv4, s.taken[:0]
	d := s.decideFamily(q)
	if s.CName != nil {
		return d
	}
	q.Family = IPv6
	given := len(s.Given)
	six := s.decideFamily(q)
	if given > 0 {
		s.Given = s.Given[:given]
	}
	if len(s.Addrs) > 0 {
		s.CName = nil
	}
	d.Scope = max(d.Scope, six.Scope)
	if six.Mode == FailedOpen {
		d.Mode = FailedOpen
	}
	return d
}

// decideFamily decides for one of both families, without the fast path if it is recorded.
func (s *Scratch) decideFamily(q Request) Decision {
	if s.record == nil {
		if d, ok := s.fastDecide(q); ok {
			return d
		}
	}
	return s.decide(q)
}

// turnCounterOf returns the turn counter of round-robin pools for a request.
func turnCounterOf(q Request) turnCounter {
	if q.Both {
		return turnCounterOfBoth
	}
	return turnCounter(q.Family)
}
