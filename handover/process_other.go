//go:build !unix

package handover

import (
	"errors"
	"net"
	"os"
	"syscall"
)

var errUnsupported = errors.New("this system cannot pass sockets to another process: restart instead")

func channel(bool) (*net.UnixConn, *os.File, error) { return nil, nil, errUnsupported }

func duplicate(syscall.Conn) (*os.File, error) { return nil, errUnsupported }

func closeOnExec(int) {}
