package plan

// Served returns every endpoint and cname, with its share.
func (f *Forecast) Served() []Target { return f.served }
