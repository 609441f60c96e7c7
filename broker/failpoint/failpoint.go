// Package failpoint names the places in the code between which a crash
// matters: where a message, a unit or a key changes hands. A process that was
// armed at one of them ends itself there, as if it had been killed.
//
// A point is declared once, in the package whose step it follows, and hit where
// the step is done:
//
//	var synced = failpoint.New("journal.synced", "the message is on stable storage", "its sender has no answer")
//	...
//	synced.Hit()
//
// Points are armed by the environment of a process and by nothing else, so
// neither a configuration file nor the API reaches them. Whoever can set a process's
// environment can end it anyway.
//
//	VAGUS_FAILPOINT=journal.synced=kill#3 vagus agent -c agent.yaml
//
// A point that is not armed costs one atomic load.
package failpoint

import (
	"cmp"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// Env is the variable that arms points, as [Arm] reads it.
const Env = "VAGUS_FAILPOINT"

// A Point is one place. Its methods are safe for concurrent use.
type Point struct {
	name, done, open string
	armed            atomic.Pointer[charge]
}

// A charge is what happens at a point.
type charge struct {
	act  func()
	text string // "kill#3"
	left atomic.Int64
}

// all are the points of the program, by name. They are declared as it starts.
var all struct {
	sync.Mutex
	points map[string]*Point
}

// New declares a point: a name of two parts, its package's and its own, and what
// lies on both sides of it: what is done, and what is not. It is for variables of a
// package only: a name that stands there twice, or is none, ends the program as it starts.
func New(name, done, open string) *Point {
	part, own, _ := strings.Cut(name, ".")
	if !isWord(part) || !isWord(own) || done == "" || open == "" {
		panic("failpoint: " + name + " is declared in another way than part.name, what is done, what is not")
	}
	all.Lock()
	defer all.Unlock()
	if all.points[name] != nil {
		panic("failpoint: there are two points " + name)
	}
	if all.points == nil {
		all.points = map[string]*Point{}
	}
	p := &Point{name: name, done: done, open: open}
	all.points[name] = p
	return p
}

func isWord(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return (c < 'a' || c > 'z') && c != '_' && (c < '0' || c > '9') })
}

// Name is the point's name, "journal.synced".
func (p *Point) Name() string { return p.name }

// Done says what is done when the point is reached.
func (p *Point) Done() string { return p.done }

// Open says what is not.
func (p *Point) Open() string { return p.open }

// Hit says that the process is at the point. It returns at once unless the
// point is armed.
func (p *Point) Hit() {
	if c := p.armed.Load(); c != nil {
		p.strike(c)
	}
}

func (p *Point) strike(c *charge) {
	if c.left.Add(-1) != 0 {
		return
	}
	// Not by a logger: nothing that is buffered would come out.
	fmt.Fprintf(os.Stderr, "{\"level\":\"WARN\",\"msg\":\"failpoint hit\",\"point\":%q,\"does\":%q}\n", p.name, c.text)
	c.act()
}

func kill() {
	if self, err := os.FindProcess(os.Getpid()); err != nil || self.Kill() != nil {
		os.Exit(1)
	}
	select {} // no step further, whichever thread the signal ends first
}

// All returns the points of the program by name.
func All() []*Point {
	all.Lock()
	defer all.Unlock()
	points := make([]*Point, 0, len(all.points))
	for _, p := range all.points {
		points = append(points, p)
	}
	slices.SortFunc(points, func(a, b *Point) int { return cmp.Compare(a.name, b.name) })
	return points
}

// Armed returns what is armed and not spent yet, as Arm reads it; "" when nothing is.
func Armed() string {
	var text []string
	for _, p := range All() {
		if c := p.armed.Load(); c != nil && c.left.Load() > 0 {
			text = append(text, p.name+"="+c.text)
		}
	}
	return strings.Join(text, ",")
}

// Arm arms the points that a text names, separated by commas, each as NAME=ACTION or
// NAME=ACTION#N: at the N-th hit, the first by default, the process does that to itself.
// The actions are kill (SIGKILL) and stop (SIGSTOP: it stands still until it gets SIGCONT; not on Windows).
// The empty text arms nothing. It is to be called once, before anything else runs. On an error,
// which names what there is, nothing is armed.
func Arm(text string) error {
	if text == "" {
		return nil
	}
	charges := map[*Point]*charge{}
	for one := range strings.SplitSeq(text, ",") {
		name, does, _ := strings.Cut(strings.TrimSpace(one), "=")
		p, err := find(name)
		if err != nil {
			return err
		}
		action, number, counted := strings.Cut(does, "#")
		c := &charge{text: does, act: map[string]func(){"kill": kill, "stop": stop}[action]}
		n, err := strconv.ParseInt(number, 10, 64)
		if !counted {
			n, err = 1, nil
		}
		if c.act == nil || err != nil || n < 1 || charges[p] != nil {
			return fmt.Errorf("%s: write %s=kill, %s=stop, or with the number of the hit %s=kill#3, each point once", Env, name, name, name)
		}
		c.left.Store(n)
		charges[p] = c
	}
	for p, c := range charges {
		p.armed.Store(c)
	}
	return nil
}

// find returns the point of a name. Its error lists those of the same part, or the parts.
func find(name string) (*Point, error) {
	part, _, _ := strings.Cut(name, ".")
	var near, parts []string
	for _, p := range All() {
		if p.name == name {
			return p, nil
		}
		of, _, _ := strings.Cut(p.name, ".")
		if of == part {
			near = append(near, p.name)
		}
		if !slices.Contains(parts, of) {
			parts = append(parts, of)
		}
	}
	if len(near) > 0 {
		return nil, fmt.Errorf("%s: there is no point %q; there are %s", Env, name, strings.Join(near, ", "))
	}
	return nil, fmt.Errorf("%s: there is no point %q; `vagus failpoints` lists those of %s", Env, name, strings.Join(parts, ", "))
}
