package etcdserver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Save writes a snapshot of a cluster to a new file, readable by its owner only: it has all that the nodes share.
func Save(ctx context.Context, client *clientv3.Client, file string) error {
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
