package hub

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// The servers of a cluster may share a directory, and start at the same moment.
func TestManyHubsThatBeginANewDirectoryAtOnceGoOnWithTheSameKeys(t *testing.T) {
	t.Parallel()
	for round := range 20 {
		dir := t.TempDir()
		type made struct{ route, ca, order string }
		var keys [8]made
		var errs [len(keys)]error
		start := make(chan struct{})
		var all sync.WaitGroup
		for i := range keys {
			all.Go(func() {
				c := Config{Dir: dir, Store: filepath.Join(dir, fmt.Sprintf("store-%d", i)), Name: fmt.Sprintf("hub-%d", i), Listen: "127.0.0.1:0",
					Cluster: Cluster{Listen: "127.0.0.1:0", Routes: []string{"127.0.0.1:1"}}}
				if errs[i] = c.complete(); errs[i] != nil {
					return
				}
				<-start
				if _, errs[i] = c.ensure(); errs[i] != nil {
					return
				}
				errs[i] = c.ensureWorkers(somewhere)
				read := func(name string) string {
					data, err := os.ReadFile(filepath.Join(dir, name))
					if err != nil {
						errs[i] = err
					}
					return string(data)
				}
				keys[i] = made{read("route.key"), read("ca/ca.key"), read("tenants/main/ordering.key")}
			})
		}
		close(start)
		all.Wait()
		for i, k := range keys {
			if errs[i] != nil {
				t.Fatalf("round %d, hub %d: %v", round, i, errs[i])
			}
			if k != keys[0] || len(k.route) == 0 {
				t.Fatalf("round %d: hub %d read another key than hub 0", round, i)
			}
		}
		for _, left := range []string{".*.new-*", "*/.new-*", "*/*/.*.new-*"} {
			if names, _ := filepath.Glob(filepath.Join(dir, left)); len(names) > 0 {
				t.Errorf("left behind: %v", names)
			}
		}
	}
}

func TestAFileIsMadeOnceAndReplacedAsOftenAsOneLikes(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "secret")
	for _, step := range []struct {
		put  func(string, []byte) error
		text string
		want string
	}{
		{makeFile, "first", "first"},
		{makeFile, "second", "first"},
		{replaceFile, "third", "third"},
	} {
		if err := step.put(path, []byte(step.text)); err != nil {
			t.Fatal(err)
		}
		data, err := os.ReadFile(path)
		if info, serr := os.Stat(path); err != nil || serr != nil || string(data) != step.want || info.Mode().Perm() != 0o600 {
			t.Errorf("%q %v %v", data, err, info)
		}
	}
}
