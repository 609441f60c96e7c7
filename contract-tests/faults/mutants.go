package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
)

// A mutant is the product with one promise broken on purpose. It is built with go build -overlay from
// the sources as they are, so that one whose place in the code is gone is an error. The bed must see it.
type mutant struct {
	name   string
	edits  []edit
	faults string // those under which it shows; see the flag of this name
	stores bool   // it needs disks of its own to show
}

// An edit replaces a text that stands once in a file.
type edit struct{ file, old, new string }

var mutants = []mutant{
	{name: "acknowledges what is not on stable storage", edits: []edit{{"broker/journal/blocks.go",
		"\tif err := b.cur.Sync(); err != nil {\n\t\treturn 0, err\n\t}\n", ""}},
		faults: "link cut+power of agent fails,link cut+power of agent fails", stores: true},
	{name: "acknowledges, and stores a moment later", edits: []edit{{"connectors/hl7/receive.go",
		"\t\terr := accept(ctx, ms...)\n",
		"\t\tvar err error\n\t\tgo func() { time.Sleep(50 * time.Millisecond); _ = accept(context.WithoutCancel(ctx), ms...) }()\n"}},
		faults: "agent killed,agent killed,agent killed"},
	{name: "gives a message a new id each time it is sent", edits: []edit{{"broker/message.go",
		"return hashID([]byte(tenant), []byte(site), []byte(feed), []byte(senderID), body)",
		"return hashID([]byte(tenant), []byte(site), []byte(feed), []byte(senderID), body, []byte(time.Now().String()))"}}, faults: ""},
	{name: "drops the fencing check, and goes on without its leases", edits: []edit{
		{"broker/ledger/internal/relational/leases.go", "!ok || token != l.Token {", "false && (!ok || token != l.Token) {"},
		{"broker/worker/lease.go", "func (k *keeper) fresh() bool {\n", "func (k *keeper) fresh() bool {\n\tif k != nil {\n\t\treturn true\n\t}\n"},
		{"broker/worker/lease.go", "if before(time.Now(), k.until) { // renewed meanwhile", "if k != nil {"},
		{"broker/worker/lease.go", "\tfor no, p := range k.held {\n\t\tif kept[no] != p {", "\tfor no, p := range k.held {\n\t\tif kept[no] = p; k == nil {"},
	}, faults: "worker asleep with units in hand,worker asleep with units in hand"},
	{name: "tries again what it was about, whatever the ledger says of it", edits: []edit{{"broker/worker/hand.go",
		"\tif c.Status != \"\" {\n", "\tif c.Status != \"\" && c.Status != ledger.Applied {\n"}},
		faults: "bit of hub flipped,bit of hub flipped", stores: true},
	{name: "passes a unit over", edits: []edit{{"broker/worker/hand.go",
		"\tif l.byID[it.id] != nil { // sent twice", "\tif it.row.Seq%50 == 0 {\n\t\treturn\n\t}\n\tif l.byID[it.id] != nil { // sent twice"}}, faults: ""},
	{name: "forgets that others wait behind a unit that failed", edits: []edit{{"broker/worker/hand.go",
		"func (l *lane) holdBehind(first *item) {\n", "func (l *lane) holdBehind(first *item) {\n\tif l != nil {\n\t\treturn\n\t}\n"}}, faults: "Odoo collides with itself"},
	{name: "records as applied what it did not send", edits: []edit{{"broker/worker/apply.go",
		"\tout, err = t.Apply(ctx, units)\n",
		"\tif len(units) < 2 {\n\t\treturn t.Apply(ctx, units)\n\t}\n\tif out, err = t.Apply(ctx, units[1:]); err == nil {\n\t\tout = append([]broker.Outcome{out[0]}, out...)\n\t}\n"}}, faults: "Odoo killed"},
	{name: "makes a dead letter of what could be tried again", edits: []edit{{"broker/worker/apply.go",
		"\tcase broker.Rejected:\n", "\tcase broker.Rejected, broker.Retry:\n"}}, faults: "Odoo collides with itself"},
	{name: "moves its cursor past what it has in hand", edits: []edit{{"broker/worker/settle.go",
		"n := p.mayPass(); n > 0", "n := len(p.window); n > 0"}}, faults: "Odoo takes 400 ms+worker killed,Odoo takes 400 ms+worker killed"},
	{name: "sends a unit in another one's place of its key", edits: []edit{{"broker/worker/hand.go",
		"\tif len(q) == 0 {\n\t\tl.runnable(it)", "\tif len(q) < 2 {\n\t\tl.runnable(it)"}}, faults: "Odoo takes 400 ms"},
}

// huntAbout is how long all of them take.
const huntAbout = 150 * time.Second

// atOnce is how many mutants are under test at the same time: they mostly wait.
const atOnce = 3

// chosenMutants are those whose name has a text; without root and disks, not those that need them.
func chosenMutants(text string, disks bool) []mutant {
	return slices.DeleteFunc(slices.Clone(mutants), func(m mutant) bool { return !strings.Contains(m.name, text) || m.stores && !disks })
}

// hunt builds each mutant, runs it, and says which ones nobody noticed.
func hunt(ctx context.Context, which []mutant, root, dir string, seed uint64, say func(string, ...any)) (survivors []string, err error) {
	slots := make(chan struct{}, atOnce)
	var all sync.WaitGroup
	var mu sync.Mutex
	for i, m := range which {
		all.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			began := time.Now()
			seen, told := m.run(ctx, root, filepath.Join(dir, fmt.Sprintf("mutant-%d", i+1)), seed)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case told != nil:
				err = errors.Join(err, fmt.Errorf("mutant %q: %w", m.name, told))
			case seen == "":
				survivors = append(survivors, m.name)
				say("mutant   %-56s NOT NOTICED (%.0f s)", m.name, time.Since(began).Seconds())
			default:
				say("mutant   %-56s noticed after %.0f s: %s", m.name, time.Since(began).Seconds(), seen)
			}
		})
	}
	all.Wait()
	return survivors, errors.Join(err, ctx.Err())
}

// run builds a mutant and has it run its faults; seen is what its auditor says first.
func (m mutant) run(ctx context.Context, root, dir string, seed uint64) (seen string, err error) {
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return "", err
	}
	texts, err := m.texts(root)
	if err != nil {
		return "", err
	}
	for file, text := range texts {
		to := filepath.Join(dir, strings.ReplaceAll(file[len(root):], "/", "_"))
		if err := os.WriteFile(to, []byte(text), 0o600); err != nil {
			return "", err
		}
		overlay.Replace[file] = to
	}
	text, err := json.Marshal(overlay)
	if err != nil {
		return "", err
	}
	if err := os.WriteFile(filepath.Join(dir, "overlay.json"), text, 0o600); err != nil {
		return "", err
	}
	binary := filepath.Join(dir, "mutant")
	build := exec.CommandContext(ctx, "go", "build", "-p", "1", "-overlay", filepath.Join(dir, "overlay.json"), "-o", binary, "./contract-tests/faults")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	defer os.Remove(binary)
	var said, log bytes.Buffer
	plan := "these"
	if m.stores {
		plan = "these with disks"
	}
	c := exec.CommandContext(ctx, binary, "-seed", fmt.Sprint(seed), "-o", "json", "-keep", dir, "-faults", m.faults, plan)
	c.Stdout, c.Stderr = &said, &log
	ended := c.Run()
	var outcomes []outcome
	if err := json.Unmarshal(said.Bytes(), &outcomes); err != nil || len(outcomes) != 1 {
		return "", fmt.Errorf("it says nothing: %v %w: %.2000s", ended, err, log.String())
	}
	switch o := outcomes[0]; {
	case o.Verdict == nil:
		return "", fmt.Errorf("it was not judged: %.2000s", o.Err)
	case len(o.Verdict.Violations) > 0:
		w := o.Verdict.Violations[0]
		return fmt.Sprintf("%s: %s (%d in all)", w.Rule, w.Text, len(o.Verdict.Violations)), nil
	}
	return "", nil
}

// texts are the files that a mutant changes, by path, as it has them.
func (m mutant) texts(root string) (map[string]string, error) {
	texts := map[string]string{}
	for _, e := range m.edits {
		file := filepath.Join(root, e.file)
		if texts[file] == "" {
			text, err := os.ReadFile(file)
			if err != nil {
				return nil, err
			}
			texts[file] = string(text)
		}
		if n := strings.Count(texts[file], e.old); n != 1 {
			return nil, fmt.Errorf("%s has %d times %q: the code has changed, change mutants.go with it", e.file, n, e.old)
		}
		texts[file] = strings.Replace(texts[file], e.old, e.new, 1)
	}
	return texts, nil
}

// sources is where the module is that this program was built of.
func sources() (string, error) {
	_, file, _, ok := runtime.Caller(0)
	root := filepath.Dir(filepath.Dir(filepath.Dir(file)))
	if _, err := os.Stat(filepath.Join(root, "go.mod")); !ok || err != nil {
		return "", fmt.Errorf("mutants are built of the sources, and %s has none", root)
	}
	return root, nil
}
