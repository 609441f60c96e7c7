package config

import (
	"fmt"

	"github.com/vagus-health/vagus/broker/stream"
	"github.com/vagus-health/vagus/connectors/fhir"
	"github.com/vagus-health/vagus/connectors/hl7"
	"github.com/vagus-health/vagus/connectors/sftp"
	"github.com/vagus-health/vagus/connectors/x12"
)

// An Outlet is one system that documents go to. Exactly one connector's settings are given.
type Outlet struct {
	HL7  *hl7.SinkConfig  `yaml:"hl7"`  // messages over MLLP
	FHIR *fhir.SinkConfig `yaml:"fhir"` // resources of a server
	X12  *X12Sink         `yaml:"x12"`  // interchanges to a partner, of a site only
}

// An X12Sink is a partner, and the way to it: one of the three.
type X12Sink struct {
	Partner x12.SinkConfig  `yaml:",inline"`
	Folder  string          `yaml:"folder"` // of this machine
	SFTP    *SFTPFolder     `yaml:"sftp"`
	HTTP    *x12.PostConfig `yaml:"http"`
}

// An SFTPFolder is a folder of a server.
type SFTPFolder struct {
	Server sftp.Config `yaml:",inline"`
	Dir    string      `yaml:"dir"`
}

// parts are the connectors' settings and the files that they name.
func (s *Outlet) parts() (n int, files []*string) {
	if c := s.HL7; c != nil {
		n++
		if c.TLS != nil {
			files = append(files, &c.TLS.CAFile, &c.TLS.CertFile, &c.TLS.KeyFile)
		}
	}
	if c := s.FHIR; c != nil {
		n++
		files = append(files, &c.CAFile)
	}
	if c := s.X12; c != nil {
		n++
		if c.Folder != "" {
			files = append(files, &c.Folder)
		}
		if c.HTTP != nil {
			files = append(files, &c.HTTP.CAFile, &c.HTTP.CertFile, &c.HTTP.KeyFile)
		}
	}
	return n, files
}

func (s *Outlet) validate(at, dir string) error {
	n, files := s.parts()
	if n != 1 {
		return fmt.Errorf("%s: give the settings of one connector, such as hl7: { connect: \"lab.example.org:2575\" }", at)
	}
	if c := s.X12; c != nil {
		ways := 0
		for _, is := range []bool{c.Folder != "", c.SFTP != nil, c.HTTP != nil} {
			if is {
				ways++
			}
		}
		if ways != 1 {
			return fmt.Errorf("%s.x12.folder: give one of folder: PATH, sftp: { address, user, …, dir } and http: { url, … }, the way to the partner", at)
		}
	}
	for _, file := range files {
		*file = absolute(dir, *file)
	}
	return nil
}

func validateSinks(sinks map[string]Outlet, dir string) error {
	for name, s := range sinks {
		if err := stream.CheckToken("sink", name); err != nil {
			return fmt.Errorf("sinks: %w", err)
		}
		if err := s.validate("sinks."+name, dir); err != nil {
			return err
		}
	}
	return nil
}

// validate checks what a target is: Odoo, a sink that the worker reaches by itself, or
// one at a site.
func (t *Target) validate(name, dir string) error {
	at := "targets." + name
	n, _ := t.parts()
	for _, is := range []bool{t.Odoo != nil, t.Site != "" || t.At != ""} {
		if is {
			n++
		}
	}
	switch {
	case n == 0:
		return fmt.Errorf("%s.odoo: missing: give url, database, user and key; or a sink: hl7: { connect: … }, or { site: north, sink: lab }", at)
	case n > 1:
		return fmt.Errorf("%s: it is two things at once: odoo, a connector of its own, or a sink at a site", at)
	case t.Odoo != nil:
		t.Odoo.TLS.CAFile = absolute(dir, t.Odoo.TLS.CAFile)
		return nil
	case t.X12 != nil:
		return fmt.Errorf("%s.x12: its control numbers are a site's: make it a sink of an agent, and the target { site: …, sink: … }", at)
	case t.Site == "" && t.At == "":
		return t.Outlet.validate(at, dir)
	}
	if err := stream.CheckToken("site", t.Site); err != nil {
		return fmt.Errorf("%s.site: %w", at, err)
	}
	if err := stream.CheckToken("sink", t.At); err != nil {
		return fmt.Errorf("%s.sink: %w", at, err)
	}
	return nil
}
