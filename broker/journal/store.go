package journal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

func storeDir(dir string) string { return filepath.Join(dir, "store") }

// msgsDir is where the server keeps a stream's block files.
func msgsDir(dir, stream string) string {
	return filepath.Join(storeDir(dir), "jetstream", "$G", "streams", stream, "msgs")
}

func streamName(feed string) string { return "JOURNAL_" + feed }

// A store is one life of the embedded server.
type store struct {
	srv *server.Server
	nc  *nats.Conn
}

// openStore starts the server. It listens nowhere.
func openStore(cfg Config, group bool) (*store, error) {
	maxBody := int32(cfg.MaxMessage + headerRoom)
	opts := &server.Options{
		ServerName: "journal", DontListen: true, NoSigs: true, DisableJetStreamBanner: true,
		MaxPayload: maxBody, MaxPending: max(64<<20, 2*int64(maxBody)),
		JetStream: true, StoreDir: storeDir(cfg.Dir), JetStreamMaxMemory: 1 << 20, JetStreamMaxStore: 1 << 62,
		SyncAlways: !group, SyncInterval: 2 * time.Minute, StreamMaxBufferedSize: 256 << 20,
	}
	if !cfg.Key.IsZero() {
		opts.JetStreamKey, opts.JetStreamCipher = cfg.Key.Reveal(), server.AES
	}
	srv, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	srv.SetLoggerV2(serverLog{cfg.Logger}, false, false, false)
	srv.Start()
	s := &store{srv: srv}
	if !srv.ReadyForConnections(time.Minute) || !srv.JetStreamEnabled() {
		return nil, errors.Join(errors.New("the embedded server does not start: see its lines in the log"), s.close())
	}
	s.nc, err = nats.Connect("", nats.InProcessServer(srv), nats.NoReconnect(), nats.Name("journal"),
		nats.SyncQueueLen(2*batchMessages), // every read makes a queue of this length: by default 512 KiB
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			cfg.Logger.Error("journal: connection to the embedded server", "error", err)
		}))
	if err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *store) close() error {
	if s.nc != nil {
		s.nc.Close()
	}
	s.srv.Shutdown()
	s.srv.WaitForShutdown()
	return nil
}

// headerRoom is how much larger than its body a message may be.
const headerRoom = 64 << 10

// start starts the server, checks or creates the streams, makes all that it
// finds durable and opens the lanes.
func (j *Journal) start(ctx context.Context, reg *register) (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	st, err := openStore(j.cfg, j.group)
	if err != nil {
		return err
	}
	j.store = st
	js, err := jetstream.New(st.nc)
	if err != nil {
		return err
	}
	sessions := map[string]*session{}
	last, held := map[string]uint64{}, map[string]*ids{}
	defer func() {
		if err != nil {
			for _, x := range held {
				x.close()
			}
		}
	}()
	for _, f := range j.cfg.Feeds {
		stream, err := j.stream(ctx, js, reg, f)
		if err != nil {
			return fmt.Errorf("feed %s: %w", f.Name, err)
		}
		s := &session{nc: st.nc, stream: stream, prefix: st.nc.NewInbox() + ".",
			acks: make(chan *nats.Msg, window+1), tokens: make(chan struct{}, window), down: make(chan struct{}), done: make(chan struct{}), turn: make(chan struct{}, 1)}
		if last[f.Name], held[f.Name], err = j.lanes[f.Name].recover(ctx, s); err != nil {
			return fmt.Errorf("feed %s: %w", f.Name, err)
		}
		sessions[f.Name] = s
	}
	// What a process that died had written and not synced is in the stream,
	// and is a duplicate to whoever sends it again: it must be durable now.
	if err := syncTree(j.cfg.Dir); err != nil {
		return j.fail(err)
	}
	if err := reg.provisioned(); err != nil {
		return err
	}
	for feed, s := range sessions {
		l := j.lanes[feed]
		if err := l.mark.clear(); err != nil {
			return j.fail(err)
		}
		l.syncMu.Lock()
		if j.group {
			l.blocks.close()
			l.blocks = blocks{dir: msgsDir(j.cfg.Dir, streamName(feed))}
			if err = l.blocks.rebase(); err != nil {
				err = j.fail(err)
			}
		}
		l.syncMu.Unlock()
		if err != nil {
			return err
		}
		if err := l.begin(s, last[feed], held[feed]); err != nil {
			return err
		}
	}
	return nil
}

// stop is the reverse of start.
func (j *Journal) stop() (err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for _, l := range j.lanes {
		l.end()
		l.syncMu.Lock()
		l.blocks.close()
		l.syncMu.Unlock()
		if l.mark != nil {
			l.mark.close()
			l.mark = nil
		}
	}
	if j.store != nil {
		err = j.store.close()
		j.store = nil
	}
	return err
}

// recover opens a lane's mark, removes what a step that did not come to its
// end has left, and returns the last sequence and what the stream holds.
func (l *lane) recover(ctx context.Context, s *session) (last uint64, x *ids, err error) {
	if last, err = l.takeBackOpen(ctx, s); err != nil {
		return 0, nil, err
	}
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, nil, err
	}
	x, err = l.openIDs(ctx, s, info.State.FirstSeq, last)
	return last, x, err
}

// takeBackOpen removes what a step that did not come to its end has left and returns the last sequence.
func (l *lane) takeBackOpen(ctx context.Context, s *session) (uint64, error) {
	dir := filepath.Join(l.j.cfg.Dir, "steps")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, err
	}
	m, from, open, err := openMark(filepath.Join(dir, l.feed))
	if err != nil {
		return 0, err
	}
	l.mark = m
	info, err := s.stream.Info(ctx)
	if err != nil {
		return 0, err
	}
	last := info.State.LastSeq
	if !open {
		return last, nil
	}
	n := 0
	for seq := max(from+1, info.State.FirstSeq); seq <= last; seq++ {
		switch err := s.stream.DeleteMsg(ctx, seq); {
		case err == nil:
			n++
			atTookBack.Hit()
		case errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && isGone(ctx, s, seq):
		default:
			return 0, fmt.Errorf("take back an unfinished step: %w", err)
		}
	}
	if n > 0 {
		l.j.log.Info("journal: took back messages that were never acknowledged", "feed", l.feed, "messages", n)
	}
	return last, nil
}

// isGone says whether a sequence holds nothing, so that there is nothing to
// delete.
func isGone(ctx context.Context, s *session, seq uint64) bool {
	_, err := s.stream.GetMsg(ctx, seq)
	return errors.Is(err, jetstream.ErrMsgNotFound)
}

// stream returns a feed's stream. It creates one only if it can never have
// held a message.
func (j *Journal) stream(ctx context.Context, js jetstream.JetStream, reg *register, f Feed) (jetstream.Stream, error) {
	want := jetstream.StreamConfig{
		Name: streamName(f.Name), Subjects: []string{subject(f.Name, "*")},
		Storage: jetstream.FileStorage, Retention: jetstream.LimitsPolicy, Discard: jetstream.DiscardNew, Replicas: 1,
		MaxBytes: f.MaxBytes, MaxMsgSize: int32(j.cfg.MaxMessage + headerRoom), AllowDirect: true,
	}
	s, err := js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if !reg.mayCreate(f.Name) {
			return nil, fmt.Errorf("stream %s is missing from %s, where it was provisioned: put its files back from a backup; to begin it anew, and lose what it held, remove %q from %s", want.Name, storeDir(j.cfg.Dir), f.Name, reg.path)
		}
		s, err := js.CreateStream(ctx, want)
		atCreated.Hit()
		return s, err
	}
	if err != nil {
		return nil, err
	}
	have := s.CachedInfo().Config
	if err := unsafe(have, want); err != nil {
		return nil, err
	}
	if have.MaxBytes == want.MaxBytes && have.MaxMsgSize == want.MaxMsgSize {
		return s, nil
	}
	if !j.cfg.Provision {
		return nil, fmt.Errorf("stream %s has max_bytes %d and max_message %d, the configuration says %d and %d: put those back, or start once with journal: { provision: true } to change the stream",
			want.Name, have.MaxBytes, have.MaxMsgSize-headerRoom, want.MaxBytes, j.cfg.MaxMessage)
	}
	have.MaxBytes, have.MaxMsgSize = want.MaxBytes, want.MaxMsgSize
	return js.UpdateStream(ctx, have)
}

// unsafe compares the settings on which the promise hangs. None of them is
// ever changed by us, so somebody else has done it.
func unsafe(have, want jetstream.StreamConfig) error {
	var bad []string
	check := func(ok bool, name string, is, must any) {
		if !ok {
			bad = append(bad, fmt.Sprintf("%s is %v, must be %v", name, is, must))
		}
	}
	check(have.PersistMode == want.PersistMode, "persist_mode", have.PersistMode, want.PersistMode)
	check(have.Storage == want.Storage, "storage", have.Storage, want.Storage)
	check(have.Retention == want.Retention, "retention", have.Retention, want.Retention)
	check(have.Discard == want.Discard, "discard", have.Discard, want.Discard)
	check(have.Replicas == want.Replicas, "replicas", have.Replicas, want.Replicas)
	check(have.MaxAge == 0, "max_age", have.MaxAge, 0)
	check(have.MaxMsgs <= 0, "max_msgs", have.MaxMsgs, -1)
	check(have.MaxMsgsPerSubject <= 0, "max_msgs_per_subject", have.MaxMsgsPerSubject, -1)
	check(have.AllowDirect, "allow_direct", have.AllowDirect, true)
	check(!have.DenyDelete && !have.DenyPurge, "deny_delete or deny_purge", true, false)
	check(!have.NoAck && !have.Sealed, "no_ack or sealed", true, false)
	check(have.Mirror == nil && len(have.Sources) == 0 && have.SubjectTransform == nil, "mirror, sources or subject_transform", "set", "absent")
	check(strings.Join(have.Subjects, " ") == strings.Join(want.Subjects, " "), "subjects", have.Subjects, want.Subjects)
	if len(bad) == 0 {
		return nil
	}
	return fmt.Errorf("stream %s is not safe (%s): run `nats stream edit %s` against a copy of the store that a stock nats-server serves, or begin a journal in an empty directory", want.Name, strings.Join(bad, "; "), want.Name)
}

// serverLog brings the server's warnings and errors into our log.
type serverLog struct{ log *slog.Logger }

func (l serverLog) Noticef(string, ...any) {}
func (l serverLog) Debugf(string, ...any)  {}
func (l serverLog) Tracef(string, ...any)  {}

func (l serverLog) Warnf(f string, a ...any) {
	if !strings.HasPrefix(f, "Maximum payloads over") { // we want those: images and claims are large
		l.say(slog.LevelWarn, f, a)
	}
}

func (l serverLog) Errorf(f string, a ...any) { l.say(slog.LevelError, f, a) }
func (l serverLog) Fatalf(f string, a ...any) { l.say(slog.LevelError, f, a) }
func (l serverLog) say(level slog.Level, f string, a []any) {
	l.log.Log(context.Background(), level, "journal: embedded server", "said", fmt.Sprintf(f, a...))
}
