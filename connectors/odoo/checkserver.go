package odoo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"
)

const (
	clockOff     = time.Minute     // more than this between two clocks is a finding
	clockSure    = 2 * time.Second // less is not told apart
	renewWithin  = 30 * 24 * time.Hour
	hashing      = 250 * time.Millisecond // a login that takes this much longer than a call hashes the key as a password
	slowProbe    = time.Second
	speedCalls   = 20
	fewCalls     = 3 // where a rate is configured
	logins       = 3
	testedFirst  = 17
	testedLast   = 19
	answerWithin = 30 * time.Second
)

// server asks for what every server tells. false: there is none.
func (x *examiner) server(ctx context.Context) bool {
	x.greet(ctx)
	w, err := x.t.client.choose(ctx)
	if err == nil {
		x.Version, err = x.t.client.versionFrom(ctx, w)
	}
	if err != nil {
		if ctx.Err() == nil {
			x.failed(Broken, "server", "Odoo's external API does not answer", judged(err))
		}
		return false
	}
	x.Protocol = "json2"
	if r, ok := w.(*rpc); ok {
		x.Protocol = r.name
	}
	n := major(x.Version)
	if n < testedFirst || n > testedLast {
		x.find(Attention, "server", "Odoo "+token(x.Version)+" is outside of what this program was tested with ("+fmt.Sprintf("%d to %d", testedFirst, testedLast)+")", "try the mappings on a copy of the database first")
	}
	if n >= 19 && x.Protocol != "json2" {
		x.find(Attention, "server", "the older interfaces are deprecated in this Odoo and gone in 22", "set protocol: auto, which takes JSON-2 here")
	}
	return true
}

// judged says what the fault table says of an error that is not ctx's.
func judged(err error) *verdict {
	var f *fault
	if !errors.As(err, &f) {
		f = &fault{class: "net.closed"}
	}
	v := judge(f, "", nil)
	return &v
}

// versionFrom asks through the limits of every call.
func (c *client) versionFrom(ctx context.Context, w wire) (string, error) {
	res, err := c.send(ctx, "", "version", func(ctx context.Context) (any, error) { return w.version(ctx) })
	version, _ := res.(string)
	return version, err
}

// greet reads what is around an answer: the clock and the certificate.
func (x *examiner) greet(ctx context.Context) {
	p := x.t.client.poster
	if u, err := url.Parse(p.base); err == nil && u.Scheme == "http" && !loopback(u.Hostname()) {
		x.find(Attention, "server", "the way to Odoo is plain http: the key and patients' data travel in the clear unless the network encrypts", "put a proxy with TLS before Odoo and set url to https")
	}
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.base+"/web/health", nil)
	if err != nil {
		return
	}
	req.Header.Set("User-Agent", p.userAgent)
	start := time.Now()
	resp, err := p.client.Do(req)
	if err != nil { // the API tells why
		return
	}
	_, _ = io.CopyN(io.Discard, resp.Body, 64<<10)
	_ = resp.Body.Close()
	if resp.TLS != nil {
		for _, c := range resp.TLS.PeerCertificates {
			if x.Certificate.IsZero() || c.NotAfter.Before(x.Certificate) {
				x.Certificate = c.NotAfter
			}
		}
		if left := time.Until(x.Certificate); left < renewWithin {
			x.find(Attention, "server", fmt.Sprintf("the certificate runs out in %d days", int(left.Hours()/24)), "renew it, and see why that does not happen by itself")
		}
	}
	date, err := http.ParseTime(resp.Header.Get("Date"))
	if err != nil {
		x.Unseen = append(x.Unseen, "the server's clock: its answers have no date")
		return
	}
	// The header has whole seconds: what it means is half a second later. We read
	// it, on the average, in the middle of the call.
	x.Skew = Millis{date.Add(time.Second / 2).Sub(start.Add(time.Since(start) / 2)).Round(time.Second)}
	if x.Skew.Abs() <= clockSure {
		x.Skew = Millis{}
	}
	if x.Skew.Abs() > clockOff {
		x.find(Attention, "server", fmt.Sprintf("its clock and ours are %s apart", x.Skew.Abs()), "let both machines take the time from one source (NTP): what changed when is told by these clocks")
	}
}

// login sees that Odoo knows us, and what that costs. false: it does not.
func (x *examiner) login(ctx context.Context) bool {
	c := x.t.client
	w, err := c.choose(ctx)
	if err != nil {
		return false
	}
	c.renew()
	var took []time.Duration
	var as who
	for range logins {
		start := time.Now()
		if as.uid == 0 {
			as, err = c.login(ctx, w)
		} else {
			_, err = c.loginOnce(ctx, w, as)
		}
		if err != nil {
			if ctx.Err() == nil {
				x.failed(Broken, "user", "Odoo does not let us in", judged(err))
			}
			return false
		}
		took = append(took, time.Since(start))
	}
	x.uid = as.uid
	x.LoginFirst, x.Login = Millis{took[0]}, Millis{median(took)}
	c.mu.Lock()
	second := c.key != 0
	c.mu.Unlock()
	if second {
		x.find(Attention, "user", "Odoo refuses key and takes next_key", "move the new key to key, and take next_key out")
	}
	return true
}

func median(all []time.Duration) time.Duration {
	return slices.Sorted(slices.Values(all))[len(all)/2]
}

// user looks at the account.
func (x *examiner) user(ctx context.Context) bool {
	res, v := x.ask(ctx, "res.users", "context_get", nil, nil)
	if v != nil {
		x.failed(Attention, "user", "its language and time zone cannot be read", v)
	} else {
		about, _ := res.(map[string]any)
		if id, ok := asInt(about["uid"]); ok {
			x.uid = id
		}
		x.settings(about)
	}
	one := func(field string) (value any, v *verdict) {
		res, v := x.ask(ctx, "res.users", "read", []arg{{"ids", []any{x.uid}}, {"fields", []any{field}}}, nil)
		rows, _ := res.([]any)
		if len(rows) != 1 {
			return nil, v
		}
		row, _ := rows[0].(map[string]any)
		return row[field], v
	}
	mail, v := one("email")
	address, _ := mail.(string)
	switch x.Mail = address != ""; {
	case v != nil:
		x.failed(Attention, "user", "whether it has an e-mail address cannot be read", v)
	case !x.Mail:
		x.find(Attention, "user", "it has no e-mail address: changes that Odoo sends a message about fail (odoo.no_sender)", "give the user an address, such as one that nobody reads")
	}
	if companies, _ := one("company_ids"); companies != nil {
		list, _ := companies.([]any)
		x.Companies = len(list)
	}
	x.keys(ctx)
	if ours := x.t.client.companies; len(ours) > 0 {
		if _, v := x.ask(ctx, "res.company", "search_count", []arg{{"domain", []any{[]any{"id", "in", ours}}}}, nil); v != nil {
			x.failed(Broken, "user", "it may not work in the companies of the configuration", v)
		}
	}
	if may, _ := x.may(ctx, "ir.config_parameter", "write"); may == yes {
		x.find(Attention, "user", "it is an administrator (Settings), who may do more than mappings need", "use a user of its own with the groups that the mappings need, and Administration / Access Rights")
	}
	return ctx.Err() == nil
}

// keys sees when the user's keys run out. Which of them is ours nobody tells, so
// it is the first that does. Before 18 they never do.
func (x *examiner) keys(ctx context.Context) {
	res, v := x.ask(ctx, "res.users.apikeys", "search_read", []arg{{"domain", []any{[]any{"user_id", "=", x.uid}, []any{"expiration_date", "!=", false}}}, {"fields", []any{"expiration_date"}}}, nil)
	if v != nil {
		if v.class == accessError.class && major(x.Version) >= 18 {
			x.Unseen = append(x.Unseen, "when the user's API key runs out: Odoo shows keys to internal users only")
		}
		return
	}
	rows, _ := res.([]any)
	for _, it := range rows {
		row, _ := it.(map[string]any)
		text, _ := row["expiration_date"].(string)
		if end, err := time.Parse(time.DateTime, text); err == nil && (x.Key.IsZero() || end.Before(x.Key)) {
			x.Key = end
		}
	}
	if left := time.Until(x.Key); !x.Key.IsZero() && left < renewWithin {
		x.find(Attention, "user", fmt.Sprintf("an API key of it runs out in %d days", int(left.Hours()/24)),
			"if it is this one, make another, name it as next_key, and move it to key when it is in use; how long a key may last is a field of the user's groups")
	}
}

// settings judges language and time zone.
func (x *examiner) settings(about map[string]any) {
	x.Lang, _ = about["lang"].(string)
	x.Zone, _ = about["tz"].(string)
	if x.Lang != "en_US" {
		x.find(Attention, "user", "its language is "+orNone(x.Lang)+", and the reasons for refusals are recognized by Odoo's English texts", "set the user's language to English (US)")
	}
	if x.Zone != "UTC" {
		x.find(Attention, "user", "its time zone is "+orNone(x.Zone)+"; a module that reckons with it puts times elsewhere than the messages say", "set the user's time zone to UTC")
	}
}

func orNone(s string) string {
	if s == "" {
		return "not set"
	}
	return token(s)
}

// speed makes harmless calls, one after the other and as many at once as the
// worker would, and judges the login by them.
func (x *examiner) speed(ctx context.Context) bool {
	limit := float64(x.t.client.poster.rate.Limit())
	calls := speedCalls
	if limit < speedCalls {
		calls = fewCalls
		x.Unseen = append(x.Unseen, fmt.Sprintf("how fast Odoo is: the configuration allows %g calls a second", limit))
	}
	x.Alone = x.run(ctx, calls, 1)
	if ctx.Err() != nil {
		return false
	}
	if calls < speedCalls {
		return true
	}
	if n := cap(x.t.client.slots); n > 1 {
		x.Together = x.run(ctx, calls, n)
	}
	if x.Alone.P50.Duration > slowProbe {
		x.find(Attention, "server", "a call that does nothing takes "+x.Alone.P50.Round(10*time.Millisecond).String(), "look at the way to Odoo, at its load and that of PostgreSQL")
	}
	if over := x.Login.Duration - x.Alone.P50.Duration; x.Protocol != "json2" && over > hashing {
		x.find(Attention, "user", "Odoo hashes the key as if it were a password: a login takes "+x.Login.Round(10*time.Millisecond).String()+", and so does a call whenever Odoo forgets its cache",
			"turn two-factor login on for the user, or take its password away; its key goes on working")
	}
	return ctx.Err() == nil
}

func (x *examiner) run(ctx context.Context, calls, atOnce int) Speed {
	var mu sync.Mutex
	var took []time.Duration
	next := make(chan struct{}, calls)
	for range calls {
		next <- struct{}{}
	}
	close(next)
	start := time.Now()
	var callers sync.WaitGroup
	for range atOnce {
		callers.Go(func() {
			for range next {
				start := time.Now()
				_, v := x.ask(ctx, "res.users", "context_get", nil, nil)
				mu.Lock()
				if v == nil && ctx.Err() == nil {
					took = append(took, time.Since(start))
				}
				mu.Unlock()
			}
		})
	}
	callers.Wait()
	all := time.Since(start)
	if lost := calls - len(took); lost > 0 && ctx.Err() == nil {
		x.find(Attention, "server", fmt.Sprintf("%d of %d harmless calls, %d at once, got no answer", lost, calls, atOnce), "see the log of Odoo and of the proxy before it; set concurrency to the workers that there are")
	}
	if len(took) == 0 {
		return Speed{AtOnce: atOnce}
	}
	return Speed{Calls: len(took), AtOnce: atOnce, P50: Millis{median(took)}, Max: Millis{slices.Max(took)}, PerSecond: float64(len(took)) / all.Seconds()}
}

// textOf is what Odoo said.
func textOf(err error) string {
	if f := (*fault)(nil); errors.As(err, &f) {
		return f.text
	}
	return ""
}
