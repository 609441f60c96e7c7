package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/vagus-health/vagus/broker/ledger/postgres"
	"github.com/vagus-health/vagus/contract-tests/bed"
)

// errNoRelease says that there is nothing to upgrade from.
var errNoRelease = errors.New("no version is tagged: give the commit to upgrade from with -from")

// release builds the program as it was at a commit, or at the last tag, and returns where it is.
func release(ctx context.Context, root, dir, from string) (binary string, err error) {
	if from == "" {
		tag, err := exec.CommandContext(ctx, "git", "-C", root, "describe", "--tags", "--abbrev=0").Output()
		if from = strings.TrimSpace(string(tag)); err != nil || from == "" {
			return "", errNoRelease
		}
	}
	src := filepath.Join(dir, "release")
	if err := os.MkdirAll(src, 0o711); err != nil {
		return "", err
	}
	tar, err := exec.CommandContext(ctx, "git", "-C", root, "archive", from).Output()
	if err != nil {
		return "", fmt.Errorf("there is no version %q in %s: %w", from, root, err)
	}
	unpack := exec.CommandContext(ctx, "tar", "-x", "-C", src)
	unpack.Stdin = bytes.NewReader(tar)
	if out, err := unpack.CombinedOutput(); err != nil {
		return "", fmt.Errorf("unpack version %s: %w: %s", from, err, out)
	}
	binary = filepath.Join(src, "vagus-of-then")
	build := exec.CommandContext(ctx, "go", "build", "-o", binary, "./cmd/vagus")
	build.Dir = src
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build version %s: %w: %s", from, err, out)
	}
	return binary, nil
}

// upgrade brings the ledger, the site, the hub and the workers of an earlier version up to date, one after
// the other, under load.
func upgrade(r *run) error {
	y := r.sys
	anew := func(p **bed.Process, role string) func(*run) error {
		return func(*run) error {
			err := (*p).Stop()
			if err != nil {
				return err
			}
			name := (*p).Name
			if *p, err = bed.Vagus(name, role, filepath.Join(y.dir, name+".yaml")); err != nil {
				return err
			}
			y.cleanup = append(y.cleanup, (*p).Kill)
			return (*p).Start()
		}
	}
	nothing := func(*run) error { return nil }
	steps := []fault{
		{"ledger migrated", 3 * time.Second, true, func(r *run) error { _, err := postgres.Migrate(r.ctx, y.pg.DSN); return err }, nothing},
		{"agent upgraded", 3 * time.Second, false, anew(&y.agent, "agent"), nothing},
		{"hub upgraded", 3 * time.Second, true, anew(&y.hubs[0], "hub"), nothing},
	}
	for i := range y.workers {
		steps = append(steps, fault{y.workers[i].Name + " upgraded", 3 * time.Second, true, anew(&y.workers[i], "worker"), nothing})
	}
	for _, f := range steps {
		if err := r.fault(f, f.lasts); err != nil {
			return err
		}
	}
	return nil
}
