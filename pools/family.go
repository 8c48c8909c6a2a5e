package pools

func (f Family) String() string { return [...]string{"IPv4", "IPv6"}[f] }
