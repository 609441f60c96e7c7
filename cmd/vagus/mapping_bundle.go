package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/vagus-health/vagus/internal/app"
	"github.com/vagus-health/vagus/internal/mapping"
	"github.com/vagus-health/vagus/internal/mapping/bundle"
)

type mappingBundleCmd struct {
	Dir     string `arg:"" type:"existingdir" help:"Directory of mapping files; they refer to nothing outside of it."`
	Out     string `required:"" type:"path" placeholder:"FILE" help:"Archive to write, such as north.vmb."`
	Release int    `required:"" placeholder:"N" help:"The bundle's version: higher than that of the one before. A site never goes back to a lower one."`
	Name    string `placeholder:"NAME" help:"The bundle's name, by which versions are counted; default: the directory's."`
	Key     string `placeholder:"FILE" help:"Private key that signs, FILE or env:NAME; without one the bundle is not signed."`
	Created string `placeholder:"TIME" help:"When it was made, as 2026-03-14T02:00:00Z; default: now. The same files, version, key and time make the same bytes."`
	Output  string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says what a bundle is for.
func (mappingBundleCmd) Help() string {
	return "Lints all mappings of the directory, runs their tests, and packs them into one archive that a site's feeds can name. A site with mappings.trust takes bundles only that are signed with the key's private half."
}

func (cmd mappingBundleCmd) Run(c *console) error {
	m := bundle.Manifest{Name: cmd.Name, Version: cmd.Release, Created: time.Now()}
	dir, err := filepath.Abs(cmd.Dir)
	if err != nil {
		return err
	}
	if m.Name == "" {
		m.Name = strings.ToLower(filepath.Base(dir))
	}
	if cmd.Created != "" {
		if m.Created, err = time.Parse(time.RFC3339, cmd.Created); err != nil {
			return fmt.Errorf("--created: write a time such as 2026-03-14T02:00:00Z")
		}
	}
	var key ed25519.PrivateKey
	if cmd.Key != "" {
		data, err := readKey(c, cmd.Key)
		if err == nil {
			key, err = bundle.PrivateKey(data)
		}
		if err != nil {
			return fmt.Errorf("--key: %w", err)
		}
	}
	data, err := bundle.Build(c.ctx, os.DirFS(dir), app.Formats(), m, key)
	if err != nil {
		show := func(name string) string { return relative(filepath.Join(dir, name)) }
		switch e := err.(type) {
		case mapping.Issues:
			err = e.Named(show)
		case *fs.PathError:
			err = &fs.PathError{Op: e.Op, Path: show(e.Path), Err: e.Err}
		}
		return c.faulty(err, cmd.Output)
	}
	if err := os.WriteFile(cmd.Out, data, 0o644); err != nil {
		return err
	}
	if cmd.Output == "json" {
		return c.printJSON(struct {
			File    string `json:"file"`
			Name    string `json:"name"`
			Version int    `json:"version"`
			Signed  bool   `json:"signed"`
			Bytes   int    `json:"bytes"`
		}{cmd.Out, m.Name, m.Version, key != nil, len(data)})
	}
	signed := "signed"
	if key == nil {
		signed = "not signed"
	}
	c.say("%s: bundle %s, version %d, %s, %d bytes", cmd.Out, m.Name, m.Version, signed, len(data))
	return nil
}

// readKey reads FILE or env:NAME.
func readKey(c *console, ref string) ([]byte, error) {
	if name, ok := strings.CutPrefix(ref, "env:"); ok {
		value := c.getenv(name)
		if value == "" {
			return nil, fmt.Errorf("environment variable %s is empty or not set", name)
		}
		return []byte(value), nil
	}
	return os.ReadFile(ref)
}

type mappingVerifyCmd struct {
	File   string `arg:"" type:"existingfile" help:"Archive."`
	Trust  string `type:"path" placeholder:"FILE" help:"File of the public key that must have signed it."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

// Help says what is not checked.
func (mappingVerifyCmd) Help() string {
	return "Checks the archive as a site does before it loads it, and shows what it holds. Without --trust it says only that the archive is whole, not who made it."
}

func (cmd mappingVerifyCmd) Run(c *console) error {
	data, err := os.ReadFile(cmd.File)
	if err != nil {
		return err
	}
	var trust ed25519.PublicKey
	if cmd.Trust != "" {
		pem, err := os.ReadFile(cmd.Trust)
		if err == nil {
			trust, err = bundle.PublicKey(pem)
		} else if aKey.MatchString(cmd.Trust) {
			err = errors.New("this is a key, and not the name of its file: write the key to a file and name that")
		}
		if err != nil {
			return fmt.Errorf("--trust: %w", err)
		}
	}
	m, _, err := bundle.Unpack(data, trust)
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.File, err)
	}
	if cmd.Output == "json" {
		return c.printJSON(m)
	}
	by := "signed by the key of " + cmd.Trust
	if trust == nil {
		by = "whole; who made it was not checked (--trust)"
	}
	c.say("%s: bundle %s, version %d of %s, %s", cmd.File, m.Name, m.Version, c.when(m.Created), by)
	rows := make([][]cell, 0, len(m.Files))
	for _, f := range m.Files {
		rows = append(rows, texts(f.Name, strconv.FormatInt(f.Size, 10), f.SHA256[:12]))
	}
	c.table([]column{{head: "FILE"}, {head: "BYTES", right: true}, {head: "SHA-256"}}, rows)
	return nil
}

// aKey is what a person gives who has the key's text and not its file: PEM, or
// the base64 within it.
var aKey = regexp.MustCompile(`-----BEGIN|[A-Za-z0-9+/]{42,}=`)

type mappingKeygenCmd struct {
	Name   string `arg:"" type:"path" placeholder:"NAME" help:"NAME.key gets the private key, NAME.pub the public one."`
	Output string `short:"o" enum:"text,json" default:"text" help:"text or json."`
}

func (cmd mappingKeygenCmd) Run(c *console) error {
	private, public, err := bundle.NewKey()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		data []byte
		mode os.FileMode
	}{{cmd.Name + ".key", private, 0o600}, {cmd.Name + ".pub", public, 0o644}} {
		// A key that is there may be the one that sites trust.
		file, err := os.OpenFile(f.name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, f.mode)
		if err != nil {
			return err
		}
		_, err = file.Write(f.data)
		if err = errors.Join(err, file.Close()); err != nil {
			return err
		}
	}
	if cmd.Output == "json" {
		return c.printJSON(map[string]string{"private": cmd.Name + ".key", "public": cmd.Name + ".pub"})
	}
	c.say("%s.key signs bundles: keep it where they are made. %s.pub goes to the sites: mappings.trust of agent.yaml.", cmd.Name, cmd.Name)
	return nil
}
