package config

// Load reads and checks the configuration in file. The error, if any, is a
// *multierror.Error of Faults in file order; the warnings are Faults too and
// come in file order whether or not there is an error.
func Load(file string) (*Config, []Fault, error) { panic("skeleton") }

// Parse is Load of data that was already read; file leads the messages and
// anchors relative paths.
func Parse(file string, data []byte) (*Config, []Fault, error) { panic("skeleton") }
