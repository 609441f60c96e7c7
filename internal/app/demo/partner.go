package demo

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	pkgsftp "github.com/pkg/sftp"
	"golang.org/x/crypto/ssh"

	"github.com/vagus-health/vagus/broker"
	"github.com/vagus-health/vagus/connectors/sftp"
)

// A partner has an SFTP server, as a clearing house has: a user, a password, a host key.
type partner struct {
	ln       net.Listener
	conf     *ssh.ServerConfig
	hostKey  string
	password string

	mu    sync.Mutex
	conns map[net.Conn]bool // nil: closed
	wait  sync.WaitGroup
}

// serve starts the server. It is of this machine's files, for the one user who knows its password.
func serve() (*partner, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		return nil, err
	}
	p := &partner{password: rand.Text(), hostKey: ssh.FingerprintSHA256(signer.PublicKey()), conns: map[net.Conn]bool{}}
	p.conf = &ssh.ServerConfig{PasswordCallback: func(_ ssh.ConnMetadata, password []byte) (*ssh.Permissions, error) {
		if subtle.ConstantTimeCompare(password, []byte(p.password)) != 1 {
			return nil, errors.New("wrong password")
		}
		return nil, nil
	}}
	p.conf.AddHostKey(signer)
	if p.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("start the partner's server: %w", err)
	}
	p.wait.Go(func() {
		for {
			c, err := p.ln.Accept()
			if err != nil {
				return
			}
			if p.holds(c) {
				p.wait.Go(func() { p.session(c) })
			}
		}
	})
	return p, nil
}

// config is how the hospital reaches the server.
func (p *partner) config() sftp.Config {
	return sftp.Config{Address: p.ln.Addr().String(), User: "north", Password: broker.NewSecret(p.password), HostKeys: []string{p.hostKey}}
}

// holds notes a connection, unless the server is closed.
func (p *partner) holds(c net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conns == nil {
		_ = c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *partner) session(c net.Conn) {
	defer c.Close()
	_, channels, requests, err := ssh.NewServerConn(c, p.conf)
	if err != nil {
		return
	}
	p.wait.Go(func() { ssh.DiscardRequests(requests) })
	for n := range channels {
		channel, requests, err := n.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() {
			for r := range requests {
				_ = r.Reply(r.Type == "subsystem", nil)
			}
		})
		if files, err := pkgsftp.NewServer(channel); err == nil {
			_ = files.Serve()
			_, _ = io.Copy(io.Discard, channel)
		}
	}
}

func (p *partner) close() error {
	err := p.ln.Close()
	p.mu.Lock()
	for c := range p.conns {
		_ = c.Close()
	}
	p.conns = nil
	p.mu.Unlock()
	p.wait.Wait()
	return err
}
