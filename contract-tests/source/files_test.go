package source_test

import (
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/folder"
	"github.com/vagus-health/vagus/connectors/sftp"
	"github.com/vagus-health/vagus/contract-tests/source"
	"github.com/vagus-health/vagus/contract-tests/source/openssh"
)

func watch(t *testing.T, dir string, files folder.Files, r broker.Receiver) broker.Source {
	t.Helper()
	src, err := folder.New("files", folder.Config{Dir: dir, Every: time.Millisecond, Settle: time.Millisecond, MaxBytes: source.MaxFile}, files, r)
	if err != nil {
		t.Fatal(err)
	}
	return src
}

func TestAFolderKeepsWhatATransportOfFilesPromises(t *testing.T) {
	t.Parallel()
	source.RunFiles(t, func(t *testing.T, dir string, r broker.Receiver) broker.Source {
		return watch(t, dir, folder.Local(dir), r)
	})
}

func TestSFTPKeepsWhatATransportOfFilesPromises(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]openssh.Settings{"of OpenSSH": {}, "without its extensions": {Deny: "posix-rename,fsync"}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			peer := openssh.StartWith(t, settings)
			source.RunFiles(t, func(t *testing.T, dir string, r broker.Receiver) broker.Source {
				files, err := sftp.New(peer.Config, dir)
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { _ = files.Close() })
				return watch(t, dir, files, r)
			})
		})
	}
}
