package stream

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Settings are what differs between clouds. Everything else about the streams
// is fixed, because a promise hangs on it.
type Settings struct {
	MaxBytes   int64         // of UNITS; required. DOWN and EVENTS get their shares on top: see Reserve
	Replicas   int           // 1, 3 or 5; 0 means 1
	MaxAge     time.Duration // of UNITS and EVENTS; 0 means 30 days
	Production bool          // refuse fewer than three replicas
	Sites      []string      // sites that have consumers in DOWN
}

const (
	// duplicates is how long the cloud remembers a Msg-Id. It covers what was in
	// flight when a link broke; older repeats are found by the ledger.
	duplicates = 10 * time.Minute
	downMaxAge = 14 * 24 * time.Hour
	leastAge   = 24 * time.Hour
)

// ErrUnsafe is wrapped by every finding of Check but a missing stream.
var ErrUnsafe = errors.New("unsafe setting")

// ErrMissing says that a stream or consumer is not there. It is never created
// on the way: on a store whose key is wrong, creating destroys it.
var ErrMissing = errors.New("not provisioned")

// Reserve returns how many bytes the three streams reserve on each server that
// holds a replica.
func (s Settings) Reserve() int64 { return s.MaxBytes + s.downBytes() + s.eventsBytes() }

func (s Settings) downBytes() int64   { return max(s.MaxBytes/32, 8<<20) }
func (s Settings) eventsBytes() int64 { return max(s.MaxBytes/16, 8<<20) }

func (s Settings) replicas() int { return max(s.Replicas, 1) }

func (s Settings) validate() error {
	var errs []error
	if s.MaxBytes <= 0 {
		errs = append(errs, fmt.Errorf("%w: %s has no max_bytes: without it a full disk stops the stream silently; set max_bytes below the disk's size", ErrUnsafe, Units))
	}
	if s.MaxAge != 0 && s.MaxAge < leastAge {
		errs = append(errs, fmt.Errorf("%w: max_age %s of %s is under a day: what a worker has not read by then is gone; set max_age: 24h or more", ErrUnsafe, s.MaxAge, Units))
	}
	if s.Production && s.replicas() < 3 {
		errs = append(errs, fmt.Errorf("%w: %d replica(s) in production: set replicas: 3 (and run three hubs), or production: false", ErrUnsafe, s.replicas()))
	}
	for _, site := range s.Sites {
		errs = append(errs, CheckToken("site", site))
	}
	return errors.Join(errs...)
}

func (s Settings) configs() []jetstream.StreamConfig {
	age := s.MaxAge
	if age == 0 {
		age = 30 * 24 * time.Hour
	}
	base := jetstream.StreamConfig{Retention: jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: s.replicas(),
		Discard: jetstream.DiscardNew, AllowDirect: true, Duplicates: duplicates}
	units, down, events := base, base, base
	units.Name, units.Subjects, units.MaxAge, units.MaxBytes = Units, []string{"unit.>"}, age, s.MaxBytes
	units.AllowAtomicPublish, units.AllowBatchPublish = true, true
	units.DenyDelete, units.DenyPurge = true, true
	down.Name, down.Subjects, down.MaxAge, down.MaxBytes = Down, []string{"down.>"}, downMaxAge, s.downBytes()
	down.AllowMsgTTL = true
	events.Name, events.Subjects, events.MaxAge, events.MaxBytes = Events, []string{"event.>"}, age, s.eventsBytes()
	// Outcomes are in the ledger; here the newest matter, and a full stream must not stop a worker.
	events.Discard = jetstream.DiscardOld
	return []jetstream.StreamConfig{units, down, events}
}

// Provision creates UNITS, DOWN, EVENTS and the consumers of each site in DOWN,
// then checks them. It is run once, by a person or by an installer; a normal
// start only calls Check. Provisioning again with the same settings changes
// nothing; what exists with other settings is reported, never altered.
func Provision(ctx context.Context, js jetstream.JetStream, s Settings) error {
	if err := s.validate(); err != nil {
		return err
	}
	for _, c := range s.configs() {
		if c.AllowBatchPublish && !serverHasBatchPublish(js) {
			c.AllowBatchPublish = false
		}
		// The server wants room for a second one before it says that there is one.
		_, err := js.Stream(ctx, c.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			_, err = js.CreateStream(ctx, c)
		}
		if err != nil && !errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
			return fmt.Errorf("create stream %s: %w", c.Name, err)
		}
		atCreated.Hit()
	}
	for _, site := range s.Sites {
		if err := AddSite(ctx, js, site); err != nil {
			return err
		}
	}
	return Check(ctx, js, s)
}

// AddSite creates the consumers that a site reads its commands and its
// documents with. Their names are made of the site's, so that the site's
// permissions can name them. One that exists is brought up to date.
func AddSite(ctx context.Context, js jetstream.JetStream, site string) error {
	if err := CheckToken("site", site); err != nil {
		return err
	}
	for _, c := range []jetstream.ConsumerConfig{
		{Durable: Remaps(site), FilterSubject: DownSubject(site, DownRemap, ">"), AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: 16, MaxWaiting: 8},
		{Durable: Documents(site), FilterSubjects: []string{DownSubject(site, DownEmit, ">"), DownSubject(site, DownCheck, ">")}, AckPolicy: jetstream.AckNonePolicy, MaxWaiting: 8},
	} {
		_, err := js.CreateOrUpdateConsumer(ctx, Down, c)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return fmt.Errorf("stream %s: %w: run `vagus hub provision`", Down, ErrMissing)
		}
		if err != nil {
			return fmt.Errorf("create consumer %s of %s: %w", c.Durable, Down, err)
		}
		atConsumer.Hit()
	}
	return nil
}

// Renew gives a DOWN that an older version made what documents need of it.
func Renew(ctx context.Context, js jetstream.JetStream) error {
	st, err := js.Stream(ctx, Down)
	if err != nil {
		return fmt.Errorf("read stream %s: %w", Down, err)
	}
	c := st.CachedInfo().Config
	if c.AllowMsgTTL {
		return nil
	}
	c.AllowMsgTTL = true
	if _, err := js.UpdateStream(ctx, c); err != nil {
		return fmt.Errorf("allow expiry in stream %s: %w", Down, err)
	}
	return nil
}

// Check compares the streams with what the promises need and returns all it
// finds, joined, each finding with its fix. It changes nothing.
func Check(ctx context.Context, js jetstream.JetStream, s Settings) error {
	if err := s.validate(); err != nil {
		return err
	}
	var errs []error
	for _, want := range s.configs() {
		st, err := js.Stream(ctx, want.Name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			errs = append(errs, fmt.Errorf("stream %s: %w: if this cloud is new run `vagus hub provision`; if it is not, the store is damaged or was opened with a wrong key: restore it, do not provision", want.Name, ErrMissing))
			continue
		}
		if err != nil {
			return fmt.Errorf("read stream %s: %w", want.Name, err)
		}
		errs = append(errs, compare(st.CachedInfo().Config, want, s)...)
	}
	if len(errs) > 0 {
		return errors.Join(errs...)
	}
	for _, site := range s.Sites {
		for _, name := range []string{Remaps(site), Documents(site)} {
			_, err := js.Consumer(ctx, Down, name)
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				errs = append(errs, fmt.Errorf("consumer %s of %s: %w: run `vagus hub provision`", name, Down, ErrMissing))
			} else if err != nil {
				return fmt.Errorf("read consumer %s of %s: %w", name, Down, err)
			}
		}
	}
	return errors.Join(errs...)
}

// compare holds the rules of Check for one stream.
func compare(got, want jetstream.StreamConfig, s Settings) []error {
	var errs []error
	rule := func(ok bool, what, fix string) {
		if !ok {
			errs = append(errs, fmt.Errorf("stream %s: %w: %s: %s", want.Name, ErrUnsafe, what, fix))
		}
	}
	edit := "run `nats stream edit " + want.Name + " "
	again := "it can not be changed in place: back up the stream, delete it and provision again"
	rule(got.PersistMode == jetstream.DefaultPersistMode, "persist_mode is async, so messages are acknowledged before they are written, whatever sync_interval says", again)
	rule(got.Storage == jetstream.FileStorage, "storage is memory", again)
	rule(got.Retention == jetstream.LimitsPolicy, "retention is "+got.Retention.String()+", so reading may delete", again)
	rule(strings.Join(got.Subjects, ",") == want.Subjects[0], "its subjects are not "+want.Subjects[0], edit+"--subjects='"+want.Subjects[0]+"'`")
	rule(!got.NoAck, "no_ack is set", edit+"--ack`")
	rule(got.MaxBytes > 0, "it has no max_bytes, so a full disk stops it silently", fmt.Sprintf("%s--max-bytes=%d`", edit, want.MaxBytes))
	rule(!s.Production || got.Replicas >= 3, fmt.Sprintf("it has %d replica(s) in production", got.Replicas), edit+"--replicas=3`")
	if want.Name == Events {
		return errs
	}
	rule(got.Discard == jetstream.DiscardNew, "discard is old, so a full stream drops what nobody has read", edit+"--discard=new`")
	rule(got.MaxMsgs <= 0 && got.MaxMsgsPerSubject <= 0, "it limits the number of messages", edit+"--max-msgs=-1 --max-msgs-per-subject=-1`")
	rule(got.Duplicates >= duplicates, "duplicate_window is under 10 minutes", edit+"--dupe-window=10m`")
	rule(!got.AllowRollup, "rollup is allowed, so one publisher may delete what others sent", edit+"--no-allow-rollup`")
	rule(want.Name != Down || got.AllowMsgTTL, "allow_msg_ttl is off, so documents that nobody waits for any more would still be delivered", edit+"--allow-msg-ttl`")
	if want.Name != Units {
		return errs
	}
	rule(got.MaxAge == 0 || got.MaxAge >= leastAge, "max_age is under a day: what a worker has not read by then is gone", edit+"--max-age=30d`")
	rule(got.AllowDirect, "allow_direct is off, so sites can not ask where to resume", edit+"--allow-direct`")
	rule(got.AllowAtomicPublish, "allow_atomic is off, so sites can not send batches", edit+"--allow-batch`")
	rule(got.DenyDelete && got.DenyPurge, "deny_delete or deny_purge is off", edit+"--deny-delete --deny-purge`")
	rule(got.SubjectTransform == nil && got.Mirror == nil && len(got.Sources) == 0, "it transforms subjects, mirrors or sources", again)
	return errs
}

// serverHasBatchPublish tells a server that knows fast batches (2.14 on) from
// one that refuses the field. The link does not need them.
func serverHasBatchPublish(js jetstream.JetStream) bool {
	var major, minor int
	if _, err := fmt.Sscanf(js.Conn().ConnectedServerVersion(), "%d.%d", &major, &minor); err != nil {
		return false
	}
	return major > 2 || major == 2 && minor >= 14
}
