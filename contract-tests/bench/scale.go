package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/term"

	"github.com/vagus-health/vagus/contract-tests/bench/page"
	"github.com/vagus-health/vagus/contract-tests/bench/scale"
)

// results is where reports of -scale are kept, and their page.
var results = filepath.Join("contract-tests", "bench", "results")

// atScale runs parts of bench -scale, prints what they found and, if asked to, keeps it.
func atScale(o scale.Options, format string, save bool) error {
	if format != "text" && format != "json" {
		return fmt.Errorf("-o %s: text or json", format)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	columns := func(f *os.File) int {
		if n, err := strconv.Atoi(os.Getenv("COLUMNS")); err == nil && n > 0 {
			return n
		}
		n, _, _ := term.GetSize(int(f.Fd())) // 0 where there is no terminal: as wide as it is
		return n
	}
	o.Progress = &scale.Progress{W: os.Stderr, Live: term.IsTerminal(int(os.Stderr.Fd())) && os.Getenv("TERM") != "dumb", Width: columns(os.Stderr)}
	r, err := scale.Run(ctx, o)
	if err != nil {
		return err
	}
	if format == "json" {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		err = e.Encode(r)
	} else {
		scale.Print(os.Stdout, r, columns(os.Stdout))
	}
	if save && err == nil {
		var file string
		if file, err = page.Write(results, r); err == nil {
			fmt.Fprintf(os.Stderr, "%s, with README.md and charts beside it\n", file)
		}
	}
	for _, p := range r.Parts {
		if p.Error != "" {
			err = errors.Join(err, fmt.Errorf("%s: %s", p.Name, p.Error))
		}
	}
	return err
}

func split(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}
