package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/vagus-health/vagus/contract-tests/bed"
)

// flipped changes one bit in the middle of what a stream's newest block holds, while its process is
// down. It, or the site that finds its messages gone, must say so when it is up again, and what
// was in the stream must come all the same: what a site's journal loses the cloud has by then, as what it had acknowledged and not
// sent would be gone; what a hub loses is asked for again.
func flipped(r *run, name, root, of string, p *bed.Process, accepts bool, says *regexp.Regexp) fault {
	said, site := 0, 0
	return fault{"bit of " + name + " flipped", 3 * time.Second, accepts,
		func(*run) error {
			return r.load.hush(func() error {
				said, site = len(p.Logged()), len(r.sys.agent.Logged())
				p.Kill()
				path, err := newestBlock(filepath.Join(r.dir, root), of)
				if err != nil {
					return err
				}
				if err := flip(path); err != nil {
					return err
				}
				return p.Start()
			})
		},
		func(*run) error {
			return bed.Wait(r.ctx, "a word of "+name+" about its damage", recovery, func() bool {
				return says.Match(p.Logged()[said:]) || says.Match(r.sys.agent.Logged()[site:])
			})
		}}
}

// What is said: of a hub's damage something, of a site's its feed and where.
var (
	damage = regexp.MustCompile(`(?i)corrupt|damage|checksum|bad msg|truncat|lost|does not have what`)
	named  = regexp.MustCompile(`"level":"ERROR","msg":"the journal is damaged: it has lost messages[^\n]*"feed":"adt","message":"[^"]+","sequence":[1-9]`)
)

// newestBlock finds the block file written last below the directory of a stream.
func newestBlock(root, of string) (newest string, err error) {
	var when time.Time
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".blk") || !strings.Contains(path, "/"+of+"/msgs/") {
			return nil // what the process removes meanwhile
		}
		if info, err := d.Info(); err == nil && info.Size() > 0 && info.ModTime().After(when) {
			newest, when = path, info.ModTime()
		}
		return nil
	})
	if newest == "" {
		err = fmt.Errorf("no block of %s below %s", of, root)
	}
	return newest, err
}

func flip(path string) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	data[len(data)/2] ^= 1
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = f.WriteAt(data[len(data)/2:len(data)/2+1], int64(len(data)/2))
	return err
}
