package sizing

import (
	"math"
	"testing"
	"time"
)

func load() Load {
	return Load{Sites: 10, Rate: 100, Peak: 4, Body: 1200, Unit: 1440, Journal: 14 * 24 * time.Hour, Hub: 30 * 24 * time.Hour, Ledger: 90 * 24 * time.Hour,
		Replicas: 3, Odoo: 60, Machine: Machine{Cores: 8, Memory: 64e9, Disk: 4e12, Writes: 5000}}
}

func part(t *testing.T, e Estimate, name string) Part {
	t.Helper()
	for _, p := range e.Parts {
		if p.Name == name {
			return p
		}
	}
	t.Fatalf("no %s", name)
	return Part{}
}

func TestWhatIsKeptGrowsWithRateAndTime(t *testing.T) {
	t.Parallel()
	one, err := Of(load())
	if err != nil {
		t.Fatal(err)
	}
	more := load()
	more.Rate, more.Sites = 10*more.Rate, 10*more.Sites
	ten, err := Of(more)
	if err != nil {
		t.Fatal(err)
	}
	agent, hub, ledger := part(t, one, "site's agent"), part(t, one, "hub"), part(t, one, "ledger (PostgreSQL)")
	if want := 10.0 * 14 * 86400 * 1545 / 0.7; math.Abs(float64(agent.Disk)/want-1) > 0.01 {
		t.Errorf("a site's disk: %d, want %.0f", agent.Disk, want)
	}
	if ledger.Rows != 100*90*86400 {
		t.Errorf("rows: %d", ledger.Rows)
	}
	if a := part(t, ten, "site's agent"); a.Disk != agent.Disk || a.Count != 100 {
		t.Errorf("ten times the sites at the same rate each: %+v, was %+v", a, agent)
	}
	if h := part(t, ten, "hub"); h.Disk/10 != hub.Disk || h.Count != 3 {
		t.Errorf("ten times the load on the hub: %+v, was %+v", h, hub)
	}
	if o := part(t, ten, "Odoo's workers"); o.Count != 67 {
		t.Errorf("%d workers of Odoo for 4000 units a second of 60 each", o.Count)
	}
}

func TestTheFullestPartIsNamedWithWhatToAdd(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change     func(*Load)
		limit, add string
	}{
		"it fits": {func(l *Load) { l.Hub, l.Ledger = 24*time.Hour, 30*24*time.Hour }, "ledger (PostgreSQL), disk", "nothing: it fits"},
		"units kept for long": {func(l *Load) { l.Rate, l.Hub, l.Ledger = 200, 100*24*time.Hour, 30*24*time.Hour }, "hub, disk",
			"a max_age of 80 days, or 2 tenants on hubs of their own (6 servers in all), or larger servers: each replica of a tenant's stream has all of its units"},
		"a ledger that remembers for years": {func(l *Load) { l.Hub, l.Ledger = 24*time.Hour, 1000*24*time.Hour }, "ledger (PostgreSQL), disk", "a keep of 225 days, or a ledger for each of 5 tenants, or a larger server"},
		"a journal of years":                {func(l *Load) { l.Hub, l.Ledger, l.Journal = 24*time.Hour, 24*time.Hour, 3000*24*time.Hour }, "site's agent, memory", "a journal.retention of 690 days, or feeds on 5 agents, or a larger server"},
		"one site with a slow disk": {func(l *Load) {
			l.Sites, l.Journal, l.Hub, l.Ledger, l.Machine.Writes = 1, time.Hour, 24*time.Hour, 24*time.Hour, 100
		}, "site's agent, writes", "a faster disk; senders with several connections share their flushes, so the real figure is lower"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := load()
			c.change(&l)
			e, err := Of(l)
			if err != nil {
				t.Fatal(err)
			}
			if e.Limit != c.limit || e.Add != c.add {
				t.Errorf("%s: %s", e.Limit, e.Add)
			}
		})
	}
}

func TestALoadThatIsNoneIsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*Load){
		"no sites": func(l *Load) { l.Sites = 0 }, "no rate": func(l *Load) { l.Rate = 0 }, "a peak below the average": func(l *Load) { l.Peak = 0.5 },
		"two replicas": func(l *Load) { l.Replicas = 2 }, "negative time": func(l *Load) { l.Hub = -1 }, "no machine": func(l *Load) { l.Machine = Machine{} },
		"an Odoo that takes nothing": func(l *Load) { l.Odoo = 0 }, "empty messages": func(l *Load) { l.Body = 0 },
	} {
		l := load()
		change(&l)
		if _, err := Of(l); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestQuantities(t *testing.T) {
	t.Parallel()
	for s, want := range map[string]float64{"50": 50, "50/s": 50, "3000/min": 50, "180k/h": 50, "4.32M/day": 50, " 1.5k/s": 1500} {
		if n, err := ParseRate(s); err != nil || n != want {
			t.Errorf("%q: %v, %v", s, n, err)
		}
	}
	for s, want := range map[string]int64{"1200": 1200, "1.2KB": 1200, "1.2 kB": 1200, "64GB": 64e9, "2TB": 2e12} {
		if n, err := ParseBytes(s); err != nil || n != want {
			t.Errorf("%q: %v, %v", s, n, err)
		}
	}
	for s, want := range map[string]time.Duration{"14d": 336 * time.Hour, "336h": 336 * time.Hour, "0d": 0, "0.5d": 12 * time.Hour} {
		if d, err := ParseKeep(s); err != nil || d != want {
			t.Errorf("%q: %v, %v", s, d, err)
		}
	}
	for _, s := range []string{"", "x", "-1", "5x", "1/week", "1e400", "9999999d", "1 2"} {
		if _, err := ParseRate(s); err == nil {
			t.Errorf("rate %q was taken", s)
		}
		if _, err := ParseBytes(s); err == nil {
			t.Errorf("size %q was taken", s)
		}
		if _, err := ParseKeep(s); err == nil {
			t.Errorf("time %q was taken", s)
		}
	}
	for n, want := range map[int64]string{0: "0 B", 999: "999 B", 1200: "1.2 kB", 64e9: "64 GB", 999_600: "1.0 MB", 2e15: "2.0 PB"} {
		if s := Bytes(n); s != want {
			t.Errorf("%d: %q, want %q", n, s, want)
		}
	}
}
