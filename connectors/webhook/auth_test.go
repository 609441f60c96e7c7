package webhook

import (
	"net/http"
	"testing"
	"time"

	"github.com/vagus-health/vagus/broker"
)

func TestASignatureOfStandardWebhooksOwnTests(t *testing.T) {
	t.Parallel()
	g, err := newGuard(Config{Signatures: &Signatures{Secrets: []broker.Secret{broker.NewSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}}})
	if err != nil {
		t.Fatal(err)
	}
	h := http.Header{}
	h.Set("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek")
	h.Set("webhook-timestamp", "1614265330")
	h.Set("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
	if err := g.verify(h, []byte(`{"test": 2432232314}`), time.Unix(1614265330, 0)); err != nil {
		t.Error(err)
	}
	if err := g.verify(h, []byte(`{"test": 2432232314}`), time.Unix(1614265330+301, 0)); err == nil {
		t.Error("it is right for ever")
	}
}

func FuzzSignatures(f *testing.F) {
	for _, s := range []string{"", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "v1,AA v1a,x  v1,", "v1,\x00 ,v1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, header string) {
		all := signatures(header)
		if len(all) > maxSignatures {
			t.Fatalf("%d signatures", len(all))
		}
		for _, s := range all {
			if len(s) != 32 {
				t.Fatalf("one of %d bytes", len(s))
			}
		}
	})
}
