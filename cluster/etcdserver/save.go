package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// reachTime bounds how long Save looks for a member that answers: a stream is tried again without end.
const reachTime = 10 * time.Second

// Save writes a snapshot of a cluster to a new file, readable by its owner only: it has all that the nodes share.
func Save(ctx context.Context, client *clientv3.Client, file string) error {
	if err := reach(ctx, client); err != nil {
		return err
	}
	stream, err := client.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer stream.Close()
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, stream)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		_ = os.Remove(file)
		return fmt.Errorf("%s is not complete and was removed: %w", file, err)
	}
	return nil
}

// reach returns an error if no member answers.
func reach(ctx context.Context, client *clientv3.Client) (err error) {
	ctx, cancel := context.WithTimeout(ctx, reachTime)
	defer cancel()
	for _, endpoint := range client.Endpoints() {
		if _, err = client.Status(ctx, endpoint); err == nil {
			return nil
		}
	}
	return fmt.Errorf("no member of etcd answers at %s: %w", strings.Join(client.Endpoints(), ", "), err)
}
